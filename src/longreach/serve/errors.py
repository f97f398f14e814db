"""Every failure as the answer that clients know: a status, and the four fields OpenAI's SDKs read.

`ApiError` is what routes raise. `to_api_error` gives any other exception its row of the table, so
one place decides what an out-of-memory, a full queue or a bug looks like from outside.
"""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from longreach.errors import (
    BrokenDocumentError,
    ContextLengthError,
    DocumentError,
    DocumentTooLargeError,
    EmptyDocumentError,
    EncryptedDocumentError,
    EngineBusyError,
    EngineClosedError,
    InvalidRequestError,
    LongreachError,
    MemoryPlanError,
    NoTextLayerError,
    RequestAborted,
    TemplateError,
    UnsupportedDocumentError,
)
from longreach.text.nesting import MAX_NESTING

logger = logging.getLogger("longreach.serve")
_answered: ContextVar[str] = ContextVar("answered", default="-")

INVALID = "invalid_request_error"
MAX_ECHO = 200
"""Characters of a client's own input that an error repeats."""
RETRY_AFTER_S = 2
_RETRYABLE = frozenset({408, 409, 429, 500, 502, 503, 504})
_MAX_REASON = 800
_PROMPT_FIELDS = frozenset({"prompt", "prompt_token_ids", "text"})
_short = reprlib.Repr()
_short.maxstring = _short.maxother = MAX_ECHO


class ApiError(Exception):
    """An answer other than 2xx.

    param: the field at fault, as a path in the body. code: for programs. headers: beside the usual
    ones. extra: more fields of the error object.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = INVALID,  # noqa: A002 - the field's name
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.param = param
        self.code = code
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})
        if status not in _RETRYABLE:
            self.headers.setdefault("x-should-retry", "false")


ErrorBody = Callable[[ApiError], dict[str, Any]]
"""How a family of routes writes an error."""


def openai_body(error: ApiError) -> dict[str, Any]:
    """The shape of OpenAI's API: all four fields, always."""
    fields = {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }
    return {"error": {**fields, **error.extra}}


# --- the rows that routes raise themselves


def bad_request(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """400: the request cannot be obeyed."""
    return ApiError(400, message, param=param, code=code)


def too_deep() -> ApiError:
    """400: nested so deep that what walks it would run out of stack."""
    return bad_request(f"The body is nested more than {MAX_NESTING} levels deep.")


def unknown_model(name: str, served: tuple[str, ...]) -> ApiError:
    """404: a model that is not loaded here."""
    message = f"The model {echo(name)} does not exist here. Served: {', '.join(served)}."
    return ApiError(404, message, param="model", code="model_not_found")


def not_supported(message: str, param: str | None = None) -> ApiError:
    """501: a modality or an endpoint that this server does not have."""
    return ApiError(501, message, type="not_supported_error", param=param)


def invalid_key() -> ApiError:
    """401: no key, or one that is not known here."""
    return ApiError(
        401,
        "Incorrect or missing API key. Send it as 'Authorization: Bearer KEY'.",
        code="invalid_api_key",
        headers={"WWW-Authenticate": "Bearer"},
    )


def cross_site() -> ApiError:
    """403: the page of another site sent this."""
    return ApiError(
        403,
        "A web page of another site sent this request. If it may, start the server with "
        "--allowed-origins and its origin.",
        code="cross_site_request",
    )


def unavailable(message: str, code: str, retry_after_s: float = RETRY_AFTER_S) -> ApiError:
    """503: not now; the same request may work later."""
    headers = {"Retry-After": str(max(1, round(retry_after_s)))}
    return ApiError(503, message, type="unavailable_error", code=code, headers=headers)


def rate_limited(tokens_per_minute: int, retry_after_s: float) -> ApiError:
    """429: this key has had its prompt tokens of the minute."""
    message = f"This key may have {tokens_per_minute} prompt tokens read per minute. Come again."
    return ApiError(
        429,
        message,
        type="rate_limit_error",
        code="rate_limit_exceeded",
        headers={"Retry-After": str(max(1, round(retry_after_s)))},
    )


def internal_error() -> ApiError:
    """500: our own fault; the log has the trace, the client gets none of it."""
    message = "The server failed on this request. Its log says why, under this X-Request-Id."
    return ApiError(500, message, type="server_error", code="internal_error")


# --- the rows of exceptions from below


def begin_request(request_id: str) -> None:
    """What is logged from here on, in this task and those it starts, is about this request."""
    _answered.set(request_id)


def to_api_error(
    error: Exception, *, prompt_field: str = "messages", form_field: str = "response_format"
) -> ApiError:
    """The answer to an exception. The log has the trace of one that has no row here.

    prompt_field, form_field: what the body calls the prompt, and what it asked the form of the
    answer with.
    """
    match error:
        case ApiError():
            return error
        case ContextLengthError():
            return _too_long(error, prompt_field)
        case MemoryPlanError():
            return bad_request(f"Too little memory: it {error}", prompt_field, _KV_CODE)
        case EngineBusyError():
            return _busy(error)
        case EngineClosedError():
            return unavailable("The server takes no new requests any more.", "shutting_down")
        case RequestAborted():
            return unavailable("The request was stopped by the server.", "request_aborted")
        case DocumentError():
            return bad_request(clip(str(error), _MAX_REASON), prompt_field, document_code(error))
        case InvalidRequestError():
            return _invalid(error, prompt_field, form_field)
        case TemplateError():
            return bad_request(clip(str(error)), prompt_field)
    logger.error("request %s failed", _answered.get(), exc_info=error)
    return internal_error()


_KV_CODE = "kv_capacity_exceeded"


def _too_long(error: ContextLengthError, prompt_field: str) -> ApiError:
    """Agents and LiteLLM look for these words, llama.cpp's clients for the two counts."""
    limit, tokens, asked = error.max_model_len, error.num_prompt_tokens, error.max_tokens
    what = "messages" if prompt_field == "messages" else "prompt"
    message = (
        f"This model's maximum context length is {limit} tokens. "
        f"However, your {what} resulted in {tokens} tokens"
    )
    if tokens < limit:
        message += f" and {asked} more were asked for as the answer ({tokens + asked} in all)"
        message += f". Shorten the {what} or ask for a shorter answer."
    else:
        message += f". Please reduce the length of the {what}."
    return ApiError(
        400,
        message,
        param=prompt_field,
        code="context_length_exceeded",
        extra={"n_prompt_tokens": tokens, "n_ctx": limit},
    )


_DOCUMENT_CODES = {
    EncryptedDocumentError: "document_encrypted",
    NoTextLayerError: "document_without_text",
    EmptyDocumentError: "document_empty",
    BrokenDocumentError: "document_broken",
    DocumentTooLargeError: "document_too_large",
    UnsupportedDocumentError: "document_unsupported",
}


def document_code(error: DocumentError) -> str:
    """Why a file cannot be read, for programs."""
    return _DOCUMENT_CODES.get(type(error), "document_unreadable")


def _busy(error: EngineBusyError) -> ApiError:
    answer = unavailable(str(error), "queue_full", error.retry_after_s)
    answer.type = "rate_limit_error"
    return answer


def _invalid(error: InvalidRequestError, prompt_field: str, form_field: str) -> ApiError:
    expected = clip(error.expected, _MAX_REASON)
    if error.field == "structured_outputs":
        message = f"{form_field}: expected {expected}"
        return bad_request(message, form_field, "invalid_json_schema")
    field = prompt_field if error.field in _PROMPT_FIELDS else error.field
    return bad_request(f"{field} is {echo(error.value)}: expected {expected}", field)


# --- what is repeated of a client's input


def echo(value: object) -> str:
    """A client's value as it may stand in an error: short, one line, encodable."""
    return clip(_short.repr(value))


def clip(text: str, length: int = MAX_ECHO) -> str:
    """At most `length` characters, none of them a lone surrogate."""
    text = text if len(text) <= length else text[: length - 1] + "…"
    return text.encode("utf-8", "replace").decode("utf-8")


def is_expected(error: Exception) -> bool:
    """Whether an exception is part of the contract, or a bug that the log must show."""
    return isinstance(error, ApiError | LongreachError)
