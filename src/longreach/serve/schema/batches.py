"""The body that starts a batch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from longreach.serve.schema.base import Body
from longreach.serve.schema.files import DAY_S, HOUR_S, ExpiresAfter

Endpoint = Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=16),
]
_UNITS_S = {"h": HOUR_S, "d": DAY_S}


class BatchRequest(Body):
    """POST /v1/batches. completion_window: hours or days, as 24h or 7d; then what is left expires.

    output_expires_after: of the files that the batch makes.
    """

    input_file_id: str
    endpoint: Endpoint
    completion_window: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,2}[hd]$")]
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None

    @property
    def window_s(self) -> int:
        """The completion window in seconds."""
        return int(self.completion_window[:-1]) * _UNITS_S[self.completion_window[-1]]
