"""What pydantic found wrong with a body, as one error that names the field.

The path of a field is written as OpenAI does: `messages[0].content`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from longreach.serve.errors import ApiError, bad_request, clip, echo

MAX_ENTRIES = 10
_UNKNOWN = "extra_forbidden"
_NOT_JSON = "json_invalid"
_NAMED_WITHOUT_VALUE = frozenset({"missing", _UNKNOWN})


def to_error(errors: Sequence[Mapping[str, Any]], body: object) -> ApiError:
    """400 for a body that failed validation; at most MAX_ENTRIES findings are told."""
    first = errors[0]
    if first["type"] == _NOT_JSON:
        return bad_request("The body is not valid JSON: " + clip(str(_reason(first))))
    param = path_of(first, body)
    if first["type"] == _UNKNOWN:
        return bad_request(f"Unknown parameter: '{clip(param or '')}'.", param, "unknown_parameter")
    lines = dict.fromkeys(_line(error, body) for error in errors[:MAX_ENTRIES])
    return bad_request("; ".join(lines), param)


def path_of(error: Mapping[str, Any], body: object) -> str | None:
    """The field at fault. Names of union members, which pydantic puts in between, are left out."""
    path, here = "", body
    source, *parts = error["loc"] or ("body",)
    if source != "body":
        return clip(str(parts[0])) if parts else None
    for position, part in enumerate(parts):
        is_last = position == len(parts) - 1
        if isinstance(part, int) and isinstance(here, list) and part < len(here):
            path, here = f"{path}[{part}]", here[part]
        elif isinstance(here, dict) and part in here:
            path, here = _join(path, part), here[part]
        elif is_last and error["type"] in _NAMED_WITHOUT_VALUE:
            path = _join(path, part)
    return clip(path) or None


def _join(path: str, part: object) -> str:
    return f"{path}.{part}" if path else str(part)


def _line(error: Mapping[str, Any], body: object) -> str:
    where, what = path_of(error, body) or "body", clip(error["msg"])
    if error["type"] == "missing":
        return f"{where}: {what}"
    return f"{where}: {what}, got {echo(error.get('input'))}"


def _reason(error: Mapping[str, Any]) -> object:
    return (error.get("ctx") or {}).get("error", error["msg"])
