"""The body of /v1/streams/lookup."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from longreach.serve.schema.base import Body


class LookupRequest(Body):
    """Which conversations the client asks about."""

    conversation_ids: Annotated[list[str], Field(max_length=1000, fail_fast=True)]
