"""From a chat body to a `GenerationRequest`; other dialects are turned into a chat body first."""

from __future__ import annotations

import asyncio
from typing import Any

from longreach.engine.sampling_params import SamplingParams
from longreach.engine.structured import StructuredOutputs
from longreach.serve.answers import AnswerReader
from longreach.serve.auth import Identity
from longreach.serve.caching import plan_cache
from longreach.serve.context import ServerContext
from longreach.serve.errors import bad_request, not_supported, to_api_error
from longreach.serve.generation import GenerationRequest
from longreach.serve.prompt import encode, render
from longreach.serve.sampling import form_of, sampling_params, stops_of
from longreach.serve.schema.chat import ChatRequest
from longreach.serve.tooling import ToolPlan, plan_tools
from longreach.text.reasoning import OPEN_THINK, opens_reasoning
from longreach.text.tools.scanner import CLOSE_TAG

_EFFORT = "reasoning_effort"


async def chat_generation(
    context: ServerContext, caller: Identity, body: ChatRequest, request_id: str
) -> GenerationRequest:
    """Check a body, render its prompt, and say how its answer is to be read.

    Raises ApiError for all that cannot be obeyed.
    """
    context.check_model(body.model)
    _check_modalities(body)
    tools = plan_tools(body)
    form, form_field = form_of(body, body.response_format)
    if form is not None and tools.is_forced:
        raise bad_request(f"{form_field} and a forced tool call cannot both hold.", form_field)
    engine = context.engine
    variables = _effort(context, body.reasoning_effort)
    rendered = await render(context, caller, body, tools=tools.tools, variables=variables)
    is_open = opens_reasoning(rendered.text) and form is None
    reasons = is_open or (knows_reasoning(context) and form is None)
    try:
        if tools.is_forced:
            form_field = "tools"
            form = await asyncio.to_thread(
                tools.forced_form, engine.tokenizer, after_reasoning=is_open
            )
        elif form is not None and tools.reads_calls:
            form = await asyncio.to_thread(tools.either_form, form, engine.tokenizer, form_field)
        params = _params(context, body, tools, form)
    except ValueError as error:
        raise to_api_error(error, form_field=form_field) from error
    prompt = await encode(context, rendered)
    return GenerationRequest(
        request_id=request_id,
        token_ids=prompt.token_ids,
        params=params,
        cache_salt=body.cache_salt,
        cache=plan_cache(body, prompt),
        documents=prompt.documents,
        question=rendered.question,
        looks=body.longreach.attention,
        make_reader=lambda: AnswerReader(
            reasoning=reasons,
            is_open=is_open,
            tools=tools.reads_calls,
            calls_only=tools.is_forced,
            single_call=tools.single,
            includes_stop=body.include_stop_str_in_output,
        ),
        form_field=form_field,
    )


def knows_reasoning(context: ServerContext) -> bool:
    """Whether the model has a token that opens its reasoning."""
    return context.engine.tokenizer.token_to_id(OPEN_THINK) is not None


def _params(
    context: ServerContext, body: ChatRequest, tools: ToolPlan, form: StructuredOutputs | None
) -> SamplingParams:
    if body.prompt_logprobs is not None and body.stream:
        raise bad_request("prompt_logprobs needs stream: false.", "prompt_logprobs")
    stops = stops_of(body.stop) + ((CLOSE_TAG,) if tools.stops_at_call else ())
    return sampling_params(
        body,
        context.settings.sampling_defaults,
        max_tokens=_max_tokens(body),
        logprobs=_num_logprobs(body),
        stop=stops,
        structured_outputs=form,
    )


def _max_tokens(body: ChatRequest) -> int | None:
    new, old = body.max_completion_tokens, body.max_tokens
    if new is not None and old is not None and new != old:
        message = f"max_tokens is {old} and max_completion_tokens {new}: give one of them."
        raise bad_request(message, "max_tokens")
    return old if new is None else new


def _num_logprobs(body: ChatRequest) -> int | None:
    if body.logprobs:
        return body.top_logprobs or 0
    if body.top_logprobs:
        raise bad_request("top_logprobs needs logprobs: true.", "top_logprobs")
    return None


def _check_modalities(body: ChatRequest) -> None:
    others = set(body.modalities or ()) - {"text"}
    if others or body.audio is not None:
        raise not_supported("This model answers in text only.", "modalities" if others else "audio")


def _effort(context: ServerContext, effort: str | None) -> dict[str, Any]:
    """Template variables of an effort; models here think or do not, there is nothing between."""
    if effort is None:
        return {}
    if effort != "none" and not knows_reasoning(context):
        raise bad_request(f"This model does not reason: leave {_EFFORT} out.", _EFFORT)
    return {"enable_thinking": effort != "none", _EFFORT: effort}
