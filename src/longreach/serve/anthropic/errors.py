"""Errors as Anthropic's clients read them."""

from __future__ import annotations

from typing import Any

from longreach.serve.errors import ApiError

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def anthropic_body(error: ApiError) -> dict[str, Any]:
    """The shape of Anthropic's API; the message names the field."""
    kind = "invalid_request_error" if error.status < 500 else "api_error"
    message = error.message
    if error.param and error.param not in message:
        message = f"{error.param}: {message}"
    return {"type": "error", "error": {"type": _TYPES.get(error.status, kind), "message": message}}
