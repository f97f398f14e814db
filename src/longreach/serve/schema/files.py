"""The fields of an upload."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from longreach.serve.schema.base import Body

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
HOUR_S = 3600
DAY_S = 24 * HOUR_S


class ExpiresAfter(Body):
    """When a file is removed: so many seconds after it was made, from an hour to thirty days."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=HOUR_S, le=30 * DAY_S)]


class UploadFields(Body):
    """POST /v1/files, beside the file itself."""

    purpose: Purpose
    expires_after: ExpiresAfter | None = None
