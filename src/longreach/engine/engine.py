"""The loop: schedule, run, sample, turn into text; one step at a time.

    add_request -> inbox -> Scheduler.schedule -> Runner.run -> Sampler -> Detokenizer -> outputs

`add_request` and `abort` may be called from any thread; `step` from one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from longreach.cache import DENSE, KVCache, Provenance
from longreach.config import EngineConfig, ModelConfig
from longreach.engine.admission import Admission
from longreach.engine.group import Answer, RequestGroup
from longreach.engine.inbox import Inbox
from longreach.engine.metrics import PeakMemory
from longreach.engine.outputs import FinishReason, RequestMetrics, RequestOutput
from longreach.engine.progress import Reading
from longreach.engine.protocol import PromptRequest
from longreach.engine.runner import Runner, SliceWork
from longreach.engine.sampler import SampledToken, Sampler
from longreach.engine.scheduler import ScheduledSlice, Scheduler, StepPlan
from longreach.errors import LongreachError
from longreach.models.batch import DenseChoice, never

if TYPE_CHECKING:
    from longreach.engine.memory import Footprint, MemoryPlan
    from longreach.text import Tokenizer


def nothing() -> None:
    """The default of `on_progress`."""


class Engine:
    """Runs requests of one model in one process. Built by `build.build_engine`.

    plan: the memory planned at the start, of what `footprint` describes. max_model_len: the longest
    prompt plus answer. folder: of the checkpoint. num_preemptions: of all requests so far.
    """

    def __init__(
        self,
        *,
        model: ModelConfig,
        config: EngineConfig,
        runner: Runner,
        admission: Admission,
        tokenizer: Tokenizer | None,
        plan: MemoryPlan,
        footprint: Footprint,
        folder: Path,
    ) -> None:
        self.model = model
        self.config = config
        self.runner = runner
        self.admission = admission
        self.tokenizer = tokenizer
        self.plan = plan
        self.footprint = footprint
        self.folder = folder
        self.scheduler = Scheduler(
            runner.cache,
            max_num_batched_tokens=config.max_num_batched_tokens,
            lone_slice_tokens=config.lone_slice_tokens,
            max_num_seqs=config.max_num_seqs,
        )
        self.sampler = Sampler(tokenizer.decode_token if tokenizer is not None else None)
        self._decode_rows = DenseChoice()
        self.peak = PeakMemory(runner.device)
        self.num_preemptions = 0
        self._inbox = Inbox()
        self._groups: dict[str, RequestGroup] = {}
        self._answers: dict[str, tuple[RequestGroup, Answer]] = {}
        self._reading: dict[str, int] = {}
        self._read_share = 0.0

    @property
    def cache(self) -> KVCache:
        """Pages and prefixes."""
        return self.runner.cache

    @property
    def max_model_len(self) -> int:
        """Most tokens of a prompt and its answer."""
        return self.admission.max_model_len

    @property
    def has_unfinished(self) -> bool:
        """Whether `step` has anything to do."""
        return not self._inbox.is_empty

    @property
    def num_waiting(self) -> int:
        """Requests that have no seat: new ones, and those preempted. From any thread."""
        return self._inbox.num_queued + len(self.scheduler.waiting)

    @property
    def request_ids(self) -> list[str]:
        """Of every request that has not ended."""
        return self._inbox.request_ids

    # --- requests come and go

    def add_request(self, request: PromptRequest, *, stream: bool = True) -> str:
        """Queue a prompt; its request id. Raises ContextLengthError, InvalidRequestError.

        stream: `step` then returns what is new after each step; otherwise the whole at the end.
        """
        group = self.admission.admit(request, stream=stream)
        self.enqueue(group)
        return group.request_id

    def enqueue(self, group: RequestGroup) -> None:
        """Queue what `admission` made. Raises InvalidRequestError for an id in use."""
        self._inbox.put(group)

    def abort(self, request_id: str) -> None:
        """Stop a request, at the latest after the layer that runs. Unknown ids are ignored."""
        self._inbox.abort(request_id)

    def cancel(self, request_ids: Iterable[str]) -> None:
        """Stop and forget requests now; finished pages stay cached. Not while a step runs."""
        self._take_inbox()
        for request_id in list(request_ids):
            group = self._groups.get(request_id)
            if group is not None:
                self._forget(group)

    def _take_inbox(self) -> None:
        """Hand new groups to the scheduler; one that can never fit ends with its error."""
        for group in self._inbox.take():
            if not self._groups:
                self.peak.reset()
            self._groups[group.request_id] = group
            try:
                for answer in group.answers:
                    self.scheduler.add(answer.request)
                    self._answers[answer.request.request_id] = (group, answer)
            except LongreachError as error:
                self._end(group, "error", error)

    def _take_aborts(self) -> None:
        """End what shall be aborted; who is still in the inbox is aborted when it is taken."""
        for request_id in list(self._inbox.aborts):
            group = self._groups.get(request_id)
            if group is not None and not group.is_finished:
                self._end(group, "abort")

    def _end(
        self, group: RequestGroup, reason: FinishReason, error: Exception | None = None
    ) -> None:
        """End every unfinished answer of a group now; its full pages stay cached."""
        group.error = error
        for answer in group.answers:
            self.scheduler.abort(answer.request.request_id, reason)
            answer.finish(reason)

    def _forget(self, group: RequestGroup) -> None:
        for answer in group.answers:
            self.scheduler.abort(answer.request.request_id)
            self._answers.pop(answer.request.request_id, None)
        self._groups.pop(group.request_id, None)
        self._inbox.forget(group)

    # --- one step

    def step(
        self,
        *,
        should_stop: Callable[[], bool] = never,
        on_progress: Callable[[], None] = nothing,
    ) -> list[RequestOutput]:
        """Run one step and return what it brought.

        should_stop: polled between layers; True drops the step, as if it had not been scheduled.
        on_progress: called after each layer of a step that reads prompts, and after the step.
        An error of the model's run ends the requests that were being read (all of the step where
        none was) with that error, and leaves the others.
        """
        self._take_inbox()
        self._take_aborts()
        plan = self.scheduler.schedule()
        for request in plan.preempted:
            self._answers[request.request_id][0].num_preemptions += 1
            self.num_preemptions += 1
        if plan.slices:
            try:
                self._run(plan, should_stop, on_progress)
            except Exception as error:  # noqa: BLE001  # any failure belongs to some request
                self._fail(plan, error)
            finally:
                self._reading.clear()
        self._take_aborts()
        on_progress()
        return self._collect()

    def _run(
        self, plan: StepPlan, should_stop: Callable[[], bool], on_progress: Callable[[], None]
    ) -> None:
        work = [self._work(piece) for piece in plan.slices]
        self._reading = {p.request.request_id: p.length for p in plan.slices if not p.is_decode}

        def on_layer(layer: int) -> None:
            self._read_share = (layer + 1) / self.model.num_layers
            if self._reading:
                on_progress()

        self._read_share = 0.0
        stop = self._stopper(plan, should_stop)
        hidden = self.runner.run(work, should_stop=stop, on_layer=on_layer)
        if hidden is None:
            for piece in plan.slices:
                self._answers[piece.request.request_id][1].choice.take_step()
            return
        self._take_pooled(plan, hidden)
        self._take_prompt_logprobs(plan, hidden)
        sampled = self._sample(plan, hidden)
        provenances = {p.request.request_id: self._take_statistics(p) for p in plan.slices}
        stopped = self._take_tokens(sampled)
        tokens = {request_id: token.token_id for request_id, token in sampled.items()}
        for request in self.scheduler.update(
            plan, tokens, provenances=provenances, stopped=stopped
        ):
            reason: FinishReason = "stop" if request.finish_reason == "stop" else "length"
            self._answers[request.request_id][1].finish(reason)

    def _stopper(self, plan: StepPlan, should_stop: Callable[[], bool]) -> Callable[[], bool]:
        """True when the caller stops, or when every request of the step was aborted."""
        groups = {self._answers[p.request.request_id][0].request_id for p in plan.slices}
        return lambda: should_stop() or groups <= self._inbox.aborts

    def _work(self, piece: ScheduledSlice) -> SliceWork:
        group, answer = self._answers[piece.request.request_id]
        group.clock.on_step()
        whole = [(piece.start, piece.end)]
        return SliceWork(
            token_ids=piece.token_ids,
            start=piece.start,
            table=piece.request.table,
            positions=group.positions,
            choice=self._decode_rows if piece.is_decode else answer.choice,
            pieces=whole if piece.is_decode else answer.choice.pieces(*whole[0]),
            num_wanted=_num_wanted(piece, group, answer),
        )

    def _take_pooled(self, plan: StepPlan, hidden: list[Tensor]) -> None:
        """Rows of prompts that become one vector; a prompt that is read ends there."""
        for piece, rows in zip(plan.slices, hidden, strict=True):
            group, _ = self._answers[piece.request.request_id]
            if group.pooler is None:
                continue
            group.pooler.add(rows, piece.start)
            if piece.samples:
                group.embedding = group.pooler.vector()
                self._end(group, "stop")

    def _take_prompt_logprobs(self, plan: StepPlan, hidden: list[Tensor]) -> None:
        for piece, rows in zip(plan.slices, hidden, strict=True):
            group, answer = self._answers[piece.request.request_id]
            collected = group.prompt_logprobs
            if collected is None or collected.is_complete or answer.index > 0:
                continue
            # After a preemption the rows read before come again.
            known = len(collected.entries) - 1 - piece.start
            if known < len(rows):
                collected.add(rows[known:], self.runner.logits, self.model.vocab_size)

    def _take_statistics(self, piece: ScheduledSlice) -> Provenance:
        """Count the attention of a slice; how its rows were made."""
        group, answer = self._answers[piece.request.request_id]
        if piece.is_decode:
            return DENSE
        made, stats = answer.choice.take_step()
        if answer.index == 0 and not answer.request.output_token_ids:
            prefix = answer.request.cached_prefix
            if piece.start == prefix.num_tokens > 0:
                stats.add_prefix(
                    prefix.recall_min,
                    prefix.recall_mean,
                    prefix.num_tokens * self.model.num_layers,
                )
            group.stats.merge(stats)
        return made

    def _sample(self, plan: StepPlan, hidden: list[Tensor]) -> dict[str, SampledToken]:
        """One token for each slice that ends its request's known tokens."""
        sampling = [(p, h) for p, h in zip(plan.slices, hidden, strict=True) if p.samples]
        for piece, _ in sampling:
            self._compute_mask(piece.request.request_id)
        ready = [(piece, rows) for piece, rows in sampling if not piece.request.is_finished]
        if not ready:
            return {}
        logits_BV = self.runner.logits(torch.cat([rows[-1:] for _, rows in ready]))
        ids = [piece.request.request_id for piece, _ in ready]
        states = [self._answers[request_id][1].sampling for request_id in ids]
        return dict(zip(ids, self.sampler(logits_BV, states), strict=True))

    def _compute_mask(self, request_id: str) -> None:
        """What the answer's grammar allows next; one that cannot go on ends its request alone."""
        group, answer = self._answers[request_id]
        mask = answer.sampling.mask
        if mask is None or group.is_finished:
            return
        try:
            mask.bitmask()
        except LongreachError as error:
            self._end(group, "error", error)

    def _take_tokens(self, sampled: dict[str, SampledToken]) -> dict[str, str]:
        """Turn tokens into text; request id -> finish reason of the answers that end with them."""
        stopped = {}
        for request_id, token in sampled.items():
            group, answer = self._answers[request_id]
            group.clock.on_token()
            if answer.take(token):
                stopped[request_id] = "stop"
        return stopped

    def _fail(self, plan: StepPlan, error: Exception) -> None:
        """End the requests that were being read, or all of the step where none was."""
        reading = [p for p in plan.slices if not p.is_decode] or plan.slices
        for piece in reading:
            group, answer = self._answers[piece.request.request_id]
            answer.choice.take_step()
            self._end(group, "error", error)

    def _collect(self) -> list[RequestOutput]:
        """What is new for each caller; ended groups are forgotten."""
        outputs = []
        for group in list(self._groups.values()):
            if group.is_finished:
                group.peak_bytes = self.peak.read()
            output = group.delta() if group.stream else None
            if group.is_finished:
                output = output if group.stream else group.whole()
                self._forget(group)
            if output is not None:
                outputs.append(output)
        return outputs

    # --- looking

    def progress(self, request_id: str) -> Reading | None:
        """How far the prompt of a request is read; None when it is not (or no longer) here.

        Tokens of the step that runs count by the share of its layers that are done.
        """
        group = self._groups.get(request_id)
        return None if group is None else self._reading_of(group)

    def running(self) -> Iterator[tuple[str, Reading]]:
        """Id and progress of each request that has a seat; between steps or within one."""
        for request in self.scheduler.running:
            group, answer = self._answers[request.request_id]
            if answer.index == 0:
                yield group.request_id, self._reading_of(group)

    def _reading_of(self, group: RequestGroup) -> Reading:
        request = group.answers[0].request
        now = self._reading.get(request.request_id, 0) * self._read_share
        read = min(request.num_computed_tokens + int(now), request.num_prompt_tokens)
        return Reading(read, request.num_prompt_tokens, request.num_cached_tokens)

    def metrics(self, request_id: str) -> RequestMetrics | None:
        """What was measured so far on a request that runs; None for others."""
        group = self._groups.get(request_id)
        return None if group is None else group.metrics()

    def check(self) -> None:
        """Assert the laws of scheduler, queues and pages (for tests)."""
        self.scheduler.check()


def _num_wanted(piece: ScheduledSlice, group: RequestGroup, answer: Answer) -> int:
    """How many of a slice's last rows need their final hidden state."""
    if group.pooler is not None:
        return group.pooler.num_wanted(piece.length, is_last=piece.samples)
    collected = group.prompt_logprobs
    if answer.index == 0 and collected is not None and not collected.is_complete:
        return piece.length
    return int(piece.samples)
