"""One planned step: pack the slices, run the layers, sample, and count what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from longreach.cache import DENSE, Provenance
from longreach.engine.recovery import choose_victim, is_out_of_memory, may_retry, memory_error
from longreach.engine.runner import Runner, SliceWork
from longreach.engine.sampler import SampledToken, Sampler
from longreach.engine.scheduler import Scheduler
from longreach.engine.step_plan import ScheduledSlice, StepPlan
from longreach.errors import LongreachError
from longreach.models.batch import AttentionChoice, DenseChoice

if TYPE_CHECKING:
    from longreach.engine.group import Answer, RequestGroup
    from longreach.engine.memory import Footprint
    from longreach.engine.outputs import FinishReason


Sampled = dict[str, list[SampledToken]]
"""Request id -> the tokens that a step brought."""


class EndGroup(Protocol):
    """Ends every unfinished answer of a group, now."""

    def __call__(
        self, group: RequestGroup, reason: FinishReason, error: Exception | None = None
    ) -> None: ...


class Executor:
    """Runs the plans of a scheduler.

    answers: of every request the scheduler knows, by its id; the engine's own, which changes.
    """

    def __init__(
        self,
        runner: Runner,
        scheduler: Scheduler,
        sampler: Sampler,
        footprint: Footprint,
        answers: Mapping[str, tuple[RequestGroup, Answer]],
        end: EndGroup,
    ) -> None:
        self.model = footprint.model
        self.runner = runner
        self.scheduler = scheduler
        self.sampler = sampler
        self._footprint = footprint
        self._answers = answers
        self._end = end
        self._decode_rows = DenseChoice()
        self._reading: dict[str, int] = {}
        self._share = 0.0

    def num_read_now(self, request_id: str) -> int:
        """Prompt rows of the step that runs, by the share of its layers that are done."""
        return int(self._reading.get(request_id, 0) * self._share)

    def run(
        self, plan: StepPlan, should_stop: Callable[[], bool], on_progress: Callable[[], None]
    ) -> bool:
        """Run a step; whether it counts. A failure is not raised: it ends whom it belongs to.

        A step that `should_stop` ended between two layers, or that ran out of memory for the
        first time, counts for nothing: the scheduler plans it anew.
        """
        try:
            sampled = self._compute(plan, should_stop, on_progress)
        except Exception as error:  # noqa: BLE001  # any failure belongs to some request
            self._recover(plan, error)
            return False
        finally:
            self._reading.clear()
        if sampled is None:
            self._drop(plan)
            return False
        try:
            self._record(plan, sampled)
        except Exception as error:  # noqa: BLE001  # any failure belongs to some request
            self._fail(plan, error)
        return True

    # --- what may be done again

    def _compute(
        self, plan: StepPlan, should_stop: Callable[[], bool], on_progress: Callable[[], None]
    ) -> Sampled | None:
        """The tokens of the slices that sample; None when the step was stopped."""
        work = [self._work(piece) for piece in plan.slices]
        self._reading = {p.request.request_id: p.length for p in plan.slices if not p.is_decode}
        self._share = 0.0

        def on_layer(layer: int) -> None:
            self._share = (layer + 1) / self.model.num_layers
            if self._reading:
                on_progress()

        if self._reading:
            on_progress()
        hidden = self.runner.run(work, should_stop=should_stop, on_layer=on_layer)
        if hidden is None:
            return None
        self._take_prompt_logprobs(plan, hidden)
        return self._sample(plan, hidden)

    def _work(self, piece: ScheduledSlice) -> SliceWork:
        group, answer = self._answers[piece.request.request_id]
        whole = [(piece.start, piece.end)]
        choice: AttentionChoice = self._decode_rows if piece.is_decode else answer.choice
        if answer.look is not None and piece.samples:
            choice = answer.look.watch(choice, piece.end - 1, self.runner.decoder.scratch)
        return SliceWork(
            token_ids=piece.token_ids,
            start=piece.start,
            table=piece.request.table,
            positions=group.positions,
            choice=choice,
            pieces=whole if piece.is_decode else answer.choice.pieces(*whole[0]),
            num_wanted=_num_wanted(piece, group, answer),
        )

    def _take_prompt_logprobs(self, plan: StepPlan, hidden: list[Tensor]) -> None:
        for piece, rows in zip(plan.slices, hidden, strict=True):
            group, answer = self._answers[piece.request.request_id]
            if group.pooler is not None:
                group.pooler.add(rows, piece.start)
            collected = group.prompt_logprobs
            if collected is None or collected.is_complete or answer.index > 0:
                continue
            # After a preemption the rows read before come again.
            known = len(collected.entries) - 1 - piece.start
            if known < len(rows):
                collected.add(rows[known:], self.runner.logits, self.model.vocab_size)

    def _sample(self, plan: StepPlan, hidden: list[Tensor]) -> Sampled:
        """The next token of each slice that ends its request's known tokens; more with a draft.

        Who has no token to draw ends with that error, alone.
        """
        ready = [
            (piece.request.request_id, rows)
            for piece, rows in zip(plan.slices, hidden, strict=True)
            if piece.samples and self._may_sample(piece.request.request_id)
        ]
        ready = [(name, rows) for name, rows in ready if not self._answers[name][0].is_finished]
        tokens: Sampled = {}
        for (name, _), drawn in zip(ready, self._draw(ready), strict=True):
            if isinstance(drawn, LongreachError):
                self._end(self._answers[name][0], "error", drawn)
            else:
                tokens[name] = drawn
        # With one of its n answers, a group has ended, and the others' tokens are nobody's.
        return {name: t for name, t in tokens.items() if not self._answers[name][0].is_finished}

    def _draw(
        self, ready: Sequence[tuple[str, Tensor]]
    ) -> Sequence[list[SampledToken] | LongreachError]:
        """What each request says next, of its last rows."""
        if not ready:
            return []
        answers = [self._answers[name][1] for name, _ in ready]
        draft = answers[0].request.draft_token_ids
        if draft:  # of a request that is alone
            logits_RV = self.runner.logits(ready[0][1])
            return [self.sampler.check_draft(logits_RV, answers[0].sampling, draft)]
        logits_BV = self.runner.logits(torch.cat([rows[-1:] for _, rows in ready]))
        drawn = self.sampler(logits_BV, [answer.sampling for answer in answers])
        return [each if isinstance(each, LongreachError) else [each] for each in drawn]

    def _may_sample(self, request_id: str) -> bool:
        """Not where a vector is wanted. A grammar that cannot go on ends its request alone."""
        group, answer = self._answers[request_id]
        if answer.sampling.mask is not None and not group.is_finished:
            try:
                answer.sampling.mask.bitmask()
            except LongreachError as error:
                self._end(group, "error", error)
        return group.pooler is None

    # --- what came of it

    def _record(self, plan: StepPlan, sampled: Sampled) -> None:
        for piece in plan.slices:
            group, _ = self._answers[piece.request.request_id]
            if group.pooler is not None and piece.samples:
                group.embedding = group.pooler.vector()
                self._end(group, "stop")
        provenances = {p.request.request_id: self._take_statistics(p) for p in plan.slices}
        stopped = self._take_tokens(sampled)
        tokens = {name: [token.token_id for token in drawn] for name, drawn in sampled.items()}
        for request in self.scheduler.update(
            plan, tokens, provenances=provenances, stopped=stopped
        ):
            reason: FinishReason = "stop" if request.finish_reason == "stop" else "length"
            self._answers[request.request_id][1].finish(reason)

    def _take_statistics(self, piece: ScheduledSlice) -> Provenance:
        """Count the attention of a slice; how its rows were made."""
        group, answer = self._answers[piece.request.request_id]
        if answer.look is not None:
            answer.look.keep_step()
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

    def _take_tokens(self, sampled: Sampled) -> dict[str, str]:
        """Turn tokens into text; request id -> finish reason of the answers that end with them.

        What was drawn beyond an answer's end is taken out of `sampled`.
        """
        stopped = {}
        for request_id, tokens in sampled.items():
            group, answer = self._answers[request_id]
            for count, token in enumerate(tokens, start=1):
                group.clock.on_token()
                if answer.take(token):
                    stopped[request_id] = "stop"
                    del tokens[count:]
                    break
        return stopped

    # --- when it fails

    def _recover(self, plan: StepPlan, error: Exception) -> None:
        self._drop(plan)
        if not is_out_of_memory(error):
            self._fail(plan, error)
            return
        piece = choose_victim(plan)
        again = may_retry(piece, error)
        self.runner.free_memory()
        if not again:
            group, _ = self._answers[piece.request.request_id]
            self._end(
                group, "error", memory_error(piece, self._footprint, self.runner.device, error)
            )

    def _drop(self, plan: StepPlan) -> None:
        """Forget what the step's layers found out: its rows do not count."""
        for piece in plan.slices:
            answer = self._answers[piece.request.request_id][1]
            answer.choice.drop_step(piece.start)
            if answer.look is not None:
                answer.look.drop_step()

    def _fail(self, plan: StepPlan, error: Exception) -> None:
        """End the requests that were being read, or all of the step where none was."""
        for piece in [p for p in plan.slices if not p.is_decode] or plan.slices:
            self._end(self._answers[piece.request.request_id][0], "error", error)


def _num_wanted(piece: ScheduledSlice, group: RequestGroup, answer: Answer) -> int:
    """How many of a slice's last rows need their final hidden state."""
    if group.pooler is not None:
        return group.pooler.num_wanted(piece.length, is_last=piece.samples)
    if piece.is_decode:
        return piece.length
    collected = group.prompt_logprobs
    if answer.index == 0 and collected is not None and not collected.is_complete:
        return piece.length
    return int(piece.samples)
