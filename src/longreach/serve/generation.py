"""A request on its way through the engine, the same for every family of routes.

    GenerationRequest -> start (validation, admission) -> Generation -> Piece ... Finished

Whatever ends it (the last event, an error, a client that left), `close` tells the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace

from longreach.engine.outputs import CompletionOutput, RequestMetrics, RequestOutput
from longreach.engine.protocol import PromptProgress, PromptRequest, Submission
from longreach.engine.sampling_params import SamplingParams
from longreach.errors import RequestAborted
from longreach.serve.access import current_usage
from longreach.serve.answers import AnswerReader
from longreach.serve.auth import Identity
from longreach.serve.caching import NO_PLAN, CachePlan
from longreach.serve.context import ServerContext
from longreach.serve.documents.finder import SourceFinder, pages_of
from longreach.serve.errors import ApiError, to_api_error
from longreach.serve.events import Event, Finished, Piece, TokenLogprobs
from longreach.serve.limits import Charge
from longreach.serve.meter import Meter
from longreach.serve.prompt import PromptDocument, TokenSpan
from longreach.serve.running import RunningRequest
from longreach.serve.tasks import cancel


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """What a family asks for, in nobody's dialect.

    request_id: unique in this server. cache_salt: the request's own; it is combined with the
    caller's. cache: what stays of the prompt. documents: in the prompt; question: about them;
    looks: whether to tell where in them the answer looked. make_reader: reads one answer (tool
    calls, reasoning). prompt_field, form_field: what the body calls the prompt and the form of the
    answer, for errors.
    """

    request_id: str
    token_ids: Sequence[int]
    params: SamplingParams
    cache_salt: str | None = None
    cache: CachePlan = NO_PLAN
    documents: tuple[PromptDocument, ...] = ()
    question: str = ""
    looks: bool = False
    make_reader: Callable[[], AnswerReader] = AnswerReader
    prompt_field: str = "messages"
    form_field: str = "response_format"


class Generation:
    """An admitted request: iterate `events` once, then `close` it, however that ended.

    Made by `start`. num_prompt_tokens: as the engine counts.
    """

    def __init__(
        self,
        context: ServerContext,
        caller: Identity,
        request: GenerationRequest,
        submission: Submission,
        charge: Charge,
    ) -> None:
        self.request = request
        self.num_prompt_tokens = submission.num_prompt_tokens
        self._context = context
        self._submission = submission
        self._running = RunningRequest(request.request_id, caller.owner, self.num_prompt_tokens)
        self._meter = Meter(context.metrics, current_usage(), charge, self.num_prompt_tokens)
        self._readers = [request.make_reader() for _ in range(request.params.n)]
        self._sources = _finder(request) if request.documents else None
        self._prompt_logprobs: Sequence[TokenLogprobs | None] | None = None
        self._events = self._read()
        self._first: asyncio.Future[Event] | None = None
        context.running[request.request_id] = self._running

    async def wait_for_first(self, timeout_s: float) -> None:
        """Wait until something happened, at most so long. Raises ApiError for what failed at once.

        So that an answer's status is decided when it is sent, but never later than `timeout_s`.
        """
        self._first = self._first or asyncio.ensure_future(anext(self._events))
        await asyncio.wait({self._first}, timeout=timeout_s or None)
        if self._first.done():
            self._first.result()

    async def events(self) -> AsyncGenerator[Event, None]:
        """What happens. Raises ApiError when it fails. Follow it with `close`."""
        if self._first is not None:
            yield await self._first
        async for event in self._events:
            yield event

    async def close(self) -> None:
        """Stop the engine's work on it, if it is not done. May be called more than once."""
        self._submission.abort()
        self._meter.close()
        self._context.running.pop(self.request.request_id, None)
        if self._first is not None:
            await cancel(self._first)
        await self._events.aclose()

    async def _read(self) -> AsyncGenerator[Event, None]:
        try:
            async for item in self._submission:
                for event in self._events_of(item):
                    yield await self._with_sources(event, item)
        except Exception as error:
            raise answer_to(error, self.request) from error

    async def _with_sources(self, event: Event, item: RequestOutput | PromptProgress) -> Event:
        if self._sources is None:
            return event
        if isinstance(event, Piece):
            self._sources.feed(event)
        if isinstance(event, Finished) and isinstance(item, RequestOutput):
            return replace(event, sources=await self._sources.find(item.attention))
        return event

    def _events_of(self, item: RequestOutput | PromptProgress) -> list[Event]:
        self._meter.see(item)
        if isinstance(item, PromptProgress):
            self._running.progress = item
            return [item]
        if item.error is not None:
            raise item.error
        if any(output.finish_reason == "abort" for output in item.outputs):
            raise RequestAborted
        self._prompt_logprobs = item.prompt_logprobs or self._prompt_logprobs
        events: list[Event] = [self._piece(output) for output in item.outputs]
        if item.finished:
            events.append(self._finished(item.metrics))
        return events

    def _piece(self, output: CompletionOutput) -> Piece:
        reader = self._readers[output.index]
        self._running.num_generated_tokens += len(output.token_ids)
        parts = reader.feed(output.text, len(output.token_ids))
        if output.finished:
            is_cut = output.finish_reason == "length"
            parts += reader.finish(output.stop_reason, is_cut=is_cut)
        return Piece(
            index=output.index,
            parts=parts,
            token_ids=output.token_ids,
            logprobs=output.logprobs,
            finish_reason=output.finish_reason,
            stop_reason=reader.visible_stop(output.stop_reason),
            has_calls=reader.has_calls,
        )

    def _finished(self, metrics: RequestMetrics) -> Finished:
        return Finished(
            metrics=metrics,
            reasoning_tokens=sum(reader.reasoning_tokens for reader in self._readers),
            prompt_logprobs=self._prompt_logprobs,
        )


async def start(
    context: ServerContext, caller: Identity, request: GenerationRequest, *, is_first: bool = True
) -> Generation:
    """Hand a request to the engine. Raises ApiError for everything that it refuses.

    is_first: whether the caller's limit may refuse it; the later prompts of a body are let in.
    """
    wanted = PromptRequest(
        prompt_token_ids=request.token_ids,
        params=request.params,
        request_id=request.request_id,
        cache_salt=caller.salted(request.cache_salt),
        attention_spans=_spans(request),
        pins=request.cache.pins,
        writes_cache=request.cache.writes,
    )
    charge = context.limits.charge(caller.owner, len(request.token_ids), may_refuse=is_first)
    try:
        submission = await context.engine.submit(wanted)
    except BaseException as error:
        charge.settle(0)
        if not isinstance(error, Exception):
            raise
        raise answer_to(error, request) from error
    return Generation(context, caller, request, submission, charge)


def _spans(request: GenerationRequest) -> tuple[TokenSpan, ...]:
    return tuple(page.tokens for page in pages_of(request.documents)) if request.looks else ()


def _finder(request: GenerationRequest) -> SourceFinder:
    looked_at = pages_of(request.documents) if request.looks else ()
    return SourceFinder(request.documents, question=request.question, looked_at=looked_at)


def answer_to(error: Exception, request: GenerationRequest) -> ApiError:
    """An engine's exception as the client sees it."""
    return to_api_error(error, prompt_field=request.prompt_field, form_field=request.form_field)
