"""From a body's fields to `SamplingParams`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from longreach.engine.sampling_params import SamplingParams
from longreach.engine.structured import StructuredOutputs
from longreach.serve.errors import bad_request
from longreach.serve.schema.sampling import ResponseFormat, SamplingFields

_MAX_DIGITS = 20
"""Of a token id; Python refuses to read numbers of some thousands."""
_DRAWING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)
_AS_THEY_ARE = (
    "seed",
    "stop_token_ids",
    "include_stop_str_in_output",
    "min_tokens",
    "ignore_eos",
    "skip_special_tokens",
)


def sampling_params(
    body: SamplingFields, defaults: Mapping[str, float], **changes: Any
) -> SamplingParams:
    """The parameters of a body. changes: what the family decides itself (max_tokens, logprobs).

    Raises ApiError and InvalidRequestError (400).
    """
    check_stream_options(body)
    fields: dict[str, Any] = dict(defaults)
    for name in _DRAWING:
        if (value := getattr(body, name)) is not None:
            fields[name] = value
    fields |= {name: getattr(body, name) for name in _AS_THEY_ARE}
    fields |= {
        "n": body.n or 1,
        "stop": stops_of(body.stop),
        "logit_bias": _logit_bias(body.logit_bias),
        "prompt_logprobs": body.prompt_logprobs,
    }
    return SamplingParams(**fields | changes)


def check_stream_options(body: SamplingFields) -> None:
    """Raise when options of a stream are given without one."""
    if body.stream_options is not None and not body.stream:
        raise bad_request("stream_options needs stream: true.", "stream_options")
    if body.return_progress and not body.stream:
        raise bad_request("return_progress needs stream: true.", "return_progress")


def stops_of(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    """Stop strings in any spelling; an empty one means none, as some clients send it."""
    listed = [stop] if isinstance(stop, str) else list(stop or ())
    return tuple(text for text in listed if text)


def _logit_bias(bias: Mapping[str, float] | None) -> dict[int, float] | None:
    if not bias:
        return None
    for token in bias:
        if not (token.isascii() and token.isdigit() and len(token) <= _MAX_DIGITS):
            raise bad_request("logit_bias: keys are token ids, as text.", "logit_bias")
    return {int(token): value for token, value in bias.items()}


def form_of(
    body: SamplingFields, response_format: ResponseFormat | None
) -> tuple[StructuredOutputs | None, str]:
    """The form an answer must have, if any, and the field that asked for it.

    Raises ApiError when two fields ask.
    """
    asked = {name: form for name, form in _forms(body, response_format).items() if form is not None}
    if len(asked) > 1:
        names = ", ".join(asked)
        raise bad_request(f"Only one of {names} can be given.", next(iter(asked)))
    return next(((form, name) for name, form in asked.items()), (None, "response_format"))


def _forms(
    body: SamplingFields, response_format: ResponseFormat | None
) -> dict[str, StructuredOutputs | None]:
    guided = {
        "guided_json": ("json", body.guided_json),
        "guided_regex": ("regex", body.guided_regex),
        "guided_choice": ("choice", body.guided_choice),
        "guided_grammar": ("grammar", body.guided_grammar),
    }
    return {
        "response_format": _of_format(response_format),
        "structured_outputs": _of_vllm(body),
        **{
            name: None if value is None else _make(name, {form: value})
            for name, (form, value) in guided.items()
        },
    }


def _of_format(wanted: ResponseFormat | None) -> StructuredOutputs | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return StructuredOutputs(json_object=True)
    if wanted.json_schema is None or wanted.json_schema.schema_ is None:
        where = "response_format.json_schema.schema"
        raise bad_request(f"{where}: missing.", where, "invalid_json_schema")
    return StructuredOutputs(json=wanted.json_schema.schema_)


def _of_vllm(body: SamplingFields) -> StructuredOutputs | None:
    wanted = body.structured_outputs
    if wanted is None:
        return None
    fields = {
        "json": wanted.json_schema,
        "regex": wanted.regex,
        "choice": wanted.choice,
        "grammar": wanted.grammar,
        "json_object": wanted.json_object or None,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    return _make("structured_outputs", given)


def _make(field: str, given: Mapping[str, Any]) -> StructuredOutputs:
    try:
        return StructuredOutputs(**given)
    except ValueError as error:
        expected = getattr(error, "expected", str(error))
        raise bad_request(f"{field}: expected {expected}", field, "invalid_json_schema") from error
