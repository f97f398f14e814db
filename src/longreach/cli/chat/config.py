"""The settings of an answer that can be changed in the middle of a conversation."""

from __future__ import annotations

from collections.abc import Mapping

from longreach.errors import InvalidRequestError

Number = int | float

KEYS: Mapping[str, type[int | float]] = {
    "temperature": float,
    "top_p": float,
    "top_k": int,
    "min_p": float,
    "repetition_penalty": float,
    "presence_penalty": float,
    "frequency_penalty": float,
    "max_tokens": int,
    "seed": int,
}


def check_settings(settings: Mapping[str, Number | None]) -> dict[str, Number]:
    """Those that are given. Raises InvalidRequestError for a value out of its range."""
    from longreach.engine.sampling_params import SamplingParams

    given = {key: value for key, value in settings.items() if value is not None}
    SamplingParams(**given)  # type: ignore[arg-type]  # its constructor checks them
    return given


def parse_settings(text: str) -> dict[str, Number]:
    """Settings written as "temperature=0.7 top_p=0.8"; commas may stand between them.

    Raises InvalidRequestError for a key that is unknown, or a value out of its range.
    """
    return check_settings(dict(map(_parse_setting, text.replace(",", " ").split())))


def show_settings(settings: Mapping[str, Number]) -> str:
    """Settings as `parse_settings` reads them, one a line, in the order of KEYS."""
    lines = [f"{key}={settings[key]}" for key in KEYS if key in settings]
    return "\n".join(lines) or "the model's own settings"


def _parse_setting(word: str) -> tuple[str, Number]:
    key, has_value, value = word.partition("=")
    if key not in KEYS or not has_value:
        raise InvalidRequestError("conf", word, f"KEY=VALUE with a key of {', '.join(KEYS)}")
    try:
        return key, KEYS[key](value)
    except ValueError:
        kind = "an integer" if KEYS[key] is int else "a number"
        raise InvalidRequestError(key, value, kind) from None
