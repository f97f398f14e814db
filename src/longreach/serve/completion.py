"""From a completions body to one `GenerationRequest` per prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from longreach.engine.sampling_params import SamplingParams
from longreach.engine.structured import StructuredOutputs
from longreach.serve.caching import plan_cache
from longreach.serve.context import ServerContext
from longreach.serve.errors import bad_request, to_api_error
from longreach.serve.generation import GenerationRequest
from longreach.serve.prompt import Prompt
from longreach.serve.sampling import form_of, sampling_params
from longreach.serve.schema.completion import DEFAULT_MAX_TOKENS, CompletionRequest

PROMPT = "prompt"


async def completion_generations(
    context: ServerContext, body: CompletionRequest, request_id: str
) -> list[GenerationRequest]:
    """Check a body and encode its prompts. Raises ApiError for all that cannot be obeyed."""
    _check(body)
    form, form_field = form_of(body, body.response_format)
    try:
        params = _params(context, body, form)
        prompts = [await _encode(context, body, prompt) for prompt in prompts_of(body)]
    except ValueError as error:
        raise to_api_error(error, prompt_field=PROMPT, form_field=form_field) from error
    return [
        GenerationRequest(
            request_id=f"{request_id}-{number}" if len(prompts) > 1 else request_id,
            token_ids=token_ids,
            params=params,
            cache_salt=body.cache_salt,
            cache=plan_cache(body, Prompt(token_ids=token_ids)),
            prompt_field=PROMPT,
            form_field=form_field,
        )
        for number, token_ids in enumerate(prompts)
    ]


def prompts_of(body: CompletionRequest) -> Sequence[str | list[int]]:
    """The prompts in order, however they were spelled."""
    prompt = body.prompt
    if isinstance(prompt, str) or isinstance(prompt[0], int):
        return [prompt]
    return prompt


async def _encode(
    context: ServerContext, body: CompletionRequest, prompt: str | list[int]
) -> Sequence[int]:
    if not isinstance(prompt, str):
        return prompt
    return await asyncio.to_thread(
        context.engine.tokenizer.encode, prompt, add_special_tokens=body.add_special_tokens
    )


def _check(body: CompletionRequest) -> None:
    if body.suffix:
        raise bad_request("suffix: these models cannot fill a gap; leave it out.", "suffix")
    if body.best_of not in (None, body.n or 1):
        raise bad_request("best_of: answers are not ranked here; leave it out.", "best_of")
    if body.max_tokens == 0 and not body.echo:
        raise bad_request("max_tokens is 0: expected 1 or more without echo.", "max_tokens")
    if body.echo and body.stream and body.logprobs is not None:
        raise bad_request("echo with logprobs needs stream: false.", "echo")
    if body.prompt_logprobs is not None and body.stream:
        raise bad_request("prompt_logprobs needs stream: false.", "prompt_logprobs")


def _params(
    context: ServerContext, body: CompletionRequest, form: StructuredOutputs | None
) -> SamplingParams:
    """max_tokens 0 runs one token that nobody sees: it takes a whole prompt to know its last."""
    wanted = DEFAULT_MAX_TOKENS if body.max_tokens is None else body.max_tokens
    told = [num for num in (body.prompt_logprobs, body.logprobs if body.echo else None) if num]
    asked = body.prompt_logprobs is not None or (body.echo and body.logprobs is not None)
    return sampling_params(
        body,
        context.settings.sampling_defaults,
        max_tokens=max(wanted, 1),
        logprobs=body.logprobs,
        prompt_logprobs=max(told, default=0) if asked else None,
        structured_outputs=form,
    )
