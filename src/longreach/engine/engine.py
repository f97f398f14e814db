"""The loop: schedule, run, sample, turn into text; one step at a time.

    add_request -> inbox -> Scheduler.schedule -> Runner.run -> Sampler -> Detokenizer -> outputs

`add_request` and `abort` may be called from any thread; `step` from one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from longreach.cache import KVCache
from longreach.config import EngineConfig, ModelConfig
from longreach.engine.admission import Admission
from longreach.engine.cache_miss import PromptMemory
from longreach.engine.executor import Executor
from longreach.engine.group import Answer, RequestGroup
from longreach.engine.inbox import Inbox
from longreach.engine.metrics import PeakMemory
from longreach.engine.outputs import FinishReason, RequestMetrics, RequestOutput
from longreach.engine.progress import Reading
from longreach.engine.protocol import PromptRequest
from longreach.engine.request import Request, RequestState
from longreach.engine.runner import Runner
from longreach.engine.sampler import Sampler
from longreach.engine.scheduler import Scheduler
from longreach.engine.step_costs import InterTokenBudget, StepCosts
from longreach.engine.step_plan import StepPlan
from longreach.errors import LongreachError
from longreach.models.batch import never

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
        self._costs = StepCosts()
        self.scheduler = Scheduler(
            runner.cache,
            max_num_batched_tokens=config.max_num_batched_tokens,
            lone_slice_tokens=config.lone_slice_tokens,
            dense_slice_tokens=config.dense_slice_tokens,
            max_num_seqs=config.max_num_seqs,
            row_limit=self._row_limit(config),
            draft=self._draft,
        )
        self.peak = PeakMemory(runner.device)
        self.num_preemptions = 0
        self._prompts = PromptMemory(cache=runner.cache)
        self._inbox = Inbox()
        self._groups: dict[str, RequestGroup] = {}
        self._answers: dict[str, tuple[RequestGroup, Answer]] = {}
        self.executor = Executor(
            runner,
            self.scheduler,
            Sampler(tokenizer.decode_token if tokenizer is not None else None),
            footprint,
            self._answers,
            self._end,
        )

    def _row_limit(self, config: EngineConfig) -> InterTokenBudget | None:
        if config.max_inter_token_ms is None:
            return None
        return InterTokenBudget(config.max_inter_token_ms / 1000, self._costs)

    def _draft(self, request: Request, room: int) -> Sequence[int]:
        answer = self._answers[request.request_id][1]
        if answer.lookup is None or answer.look is not None:  # where it looks is counted by row
            return ()
        return answer.lookup.draft(room)

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
    def has_background_work(self) -> bool:
        """Whether `do_background_work` has anything to do, even while no request runs."""
        disk = self.cache.disk
        return disk is not None and disk.has_work

    def do_background_work(self) -> None:
        """Hand pages that were read to the disk tier, where there is one; between two steps."""
        if self.cache.disk is not None:
            self.cache.disk.pump()

    def close(self) -> None:
        """Write what the disk tier still has to; no step may follow."""
        if self.cache.disk is not None:
            self.cache.disk.close()

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
        """End every unfinished answer of a group now; its pages stay cached."""
        group.error = error
        for answer in group.answers:
            self.scheduler.abort(answer.request.request_id, reason)
            answer.finish(reason)

    def _forget(self, group: RequestGroup) -> None:
        for answer in group.answers:
            self.scheduler.abort(answer.request.request_id)
            self._answers.pop(answer.request.request_id, None)
            self._prompts.end(answer.request)
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
        on_progress: called before the first layer and after each one of a step that reads prompts,
        and after the step.
        An error of the model's run ends the requests that were being read (all of the step where
        none was) with that error, and leaves the others. One that runs out of memory ends only the
        request that took most, and not before it was tried again with half as many rows.
        """
        self._take_inbox()
        self._take_aborts()
        self.do_background_work()
        plan = self.scheduler.schedule()
        for request in plan.preempted:
            self._preempt(*self._answers[request.request_id])
        for piece in plan.slices:
            self._begin(self._answers[piece.request.request_id][0])
        if plan.slices:
            self._run(plan, self._stopper(plan, should_stop), on_progress)
        self._take_aborts()
        on_progress()
        return self._collect()

    def _run(
        self, plan: StepPlan, should_stop: Callable[[], bool], on_progress: Callable[[], None]
    ) -> None:
        """Run the plan; where steps are held to a time, measure it."""
        start_s = perf_counter()
        counts = self.executor.run(plan, should_stop, on_progress)
        if counts and self.scheduler.row_limit is not None:
            self.runner.synchronize()
            self._costs.observe(plan.num_tokens, plan.num_pairs, perf_counter() - start_s)

    def _stopper(self, plan: StepPlan, should_stop: Callable[[], bool]) -> Callable[[], bool]:
        """True when the caller stops, or when every request of the step was aborted."""
        groups = {self._answers[p.request.request_id][0].request_id for p in plan.slices}
        return lambda: should_stop() or groups <= self._inbox.aborts

    def _begin(self, group: RequestGroup) -> None:
        """The group takes part in a step; what happens when it does so for the first time."""
        if group.clock.first_step_s is None:
            group.clock.on_step()
            group.cache_miss = self._prompts.begin(group.answers[0].request)

    def _preempt(self, group: RequestGroup, answer: Answer) -> None:
        """The scheduler took the answer's pages: its rows will come again."""
        group.num_preemptions += 1
        self.num_preemptions += 1
        answer.choice.drop_step(0)

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
        """Id and progress of each request that is read or answered; between steps or within one."""
        for request in self.scheduler.running:
            group, answer = self._answers[request.request_id]
            if answer.index == 0 and request.state is not RequestState.RESTORING:
                yield group.request_id, self._reading_of(group)

    def _reading_of(self, group: RequestGroup) -> Reading:
        request = group.answers[0].request
        now = self.executor.num_read_now(request.request_id)
        read = min(request.num_computed_tokens + now, request.num_prompt_tokens)
        return Reading(read, request.num_prompt_tokens, request.num_cached_tokens)

    def metrics(self, request_id: str) -> RequestMetrics | None:
        """What was measured so far on a request that runs; None for others."""
        group = self._groups.get(request_id)
        return None if group is None else group.metrics()

    def check(self) -> None:
        """Assert the laws of scheduler, queues and pages (for tests)."""
        self.scheduler.check()
