"""The spellings in which a caller may give prompts, turned into `PromptRequest`s."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypedDict

from longreach.engine.protocol import PromptRequest
from longreach.engine.sampling_params import SamplingParams
from longreach.errors import InvalidRequestError


class TextPrompt(TypedDict):
    """{"prompt": text}."""

    prompt: str


class TokensPrompt(TypedDict):
    """{"prompt_token_ids": ids}."""

    prompt_token_ids: Sequence[int]


Prompt = str | TextPrompt | TokensPrompt
_FORMS = 'a text, {"prompt": text} or {"prompt_token_ids": ids}'


def as_requests(
    prompts: Prompt | Sequence[Prompt],
    params: SamplingParams | Sequence[SamplingParams] | None,
    cache_salt: str = "",
) -> list[PromptRequest]:
    """One request per prompt. Raises InvalidRequestError for other forms and unequal lengths."""
    if not isinstance(cache_salt, str):
        raise InvalidRequestError("cache_salt", cache_salt, "a text")
    if not isinstance(prompts, str | Mapping | Sequence):
        raise InvalidRequestError("prompts", prompts, f"{_FORMS}, or a list of these")
    listed = [prompts] if isinstance(prompts, str | Mapping) else list(prompts)
    if params is None or isinstance(params, SamplingParams):
        each = [params or SamplingParams()] * len(listed)
    elif isinstance(params, Sequence) and all(isinstance(q, SamplingParams) for q in params):
        each = list(params)
    else:
        raise InvalidRequestError("params", params, "SamplingParams, or a list of them")
    if len(each) != len(listed):
        raise InvalidRequestError("params", len(each), f"one, or one per prompt ({len(listed)})")
    return [_request(p, q, cache_salt) for p, q in zip(listed, each, strict=True)]


def _request(prompt: Prompt, params: SamplingParams, cache_salt: str) -> PromptRequest:
    if isinstance(prompt, str):
        return PromptRequest(prompt=prompt, params=params, cache_salt=cache_salt)
    if not isinstance(prompt, Mapping) or set(prompt) - {"prompt", "prompt_token_ids"}:
        raise InvalidRequestError("prompts", prompt, _FORMS)
    text, token_ids = prompt.get("prompt"), prompt.get("prompt_token_ids")
    if not isinstance(text, str | None):
        raise InvalidRequestError("prompt", text, "a text")
    if not isinstance(token_ids, Sequence | None) or isinstance(token_ids, str | bytes):
        raise InvalidRequestError("prompt_token_ids", token_ids, "a list of token ids")
    return PromptRequest(
        prompt=text, prompt_token_ids=token_ids, params=params, cache_salt=cache_salt
    )


def as_conversations(
    messages: Sequence[Mapping[str, Any]] | Sequence[Sequence[Mapping[str, Any]]],
) -> list[Sequence[Mapping[str, Any]]]:
    """One conversation, or a list of them, as a list of conversations."""
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise InvalidRequestError("messages", messages, "a list of messages, not empty")
    if all(isinstance(item, Mapping) for item in messages):
        return [messages]  # type: ignore[list-item]
    if any(isinstance(item, str) or not isinstance(item, Sequence) for item in messages):
        raise InvalidRequestError("messages", messages, "messages, or lists of messages")
    return list(messages)  # type: ignore[arg-type]


def as_variables(variables: Mapping[str, Any] | None, taken: Collection[str]) -> Mapping[str, Any]:
    """Variables for a chat template. Raises InvalidRequestError for names in `taken`."""
    if variables is None:
        return {}
    if not isinstance(variables, Mapping) or not all(isinstance(name, str) for name in variables):
        raise InvalidRequestError("template_variables", variables, "a mapping of names to values")
    if clash := [name for name in variables if name in taken]:
        raise InvalidRequestError("template_variables", clash[0], "no argument of its own")
    return variables
