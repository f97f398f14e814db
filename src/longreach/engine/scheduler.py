"""Picks what the next step computes: continuous batching of decodes and slices of prompts."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from longreach.cache import DENSE, CachedPrefix, KVCache, Provenance
from longreach.engine.pinning import pin_prefixes
from longreach.engine.request import Request, RequestState
from longreach.engine.restoring import Restorer
from longreach.engine.step_plan import Draft, RowLimit, ScheduledSlice, StepPlan, slice_of
from longreach.errors import InvalidRequestError, MemoryPlanError

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Scheduler:
    """Continuous batching over one KVCache.

    - Every decoding request gets its one token in every step; prompts share what is left of
      max_num_batched_tokens, so that the time between two tokens of a request stays bounded.
    - Requests start in order of arrival, with pages for all their tokens so far, so that the pages
      of a prompt are contiguous and two long prompts never meet half done in a full pool.
    - Of the prompt share the oldest prompt gets at least half, the shortest ones the rest:
      short prompts pass a long one, and none starves.
    - A prompt that alone can run is read in slices of lone_slice_tokens; of dense_slice_tokens,
      where given, if it attends to everything.
    - row_limit, where given, may make the prompts' share of a step smaller while answers are
      being written.
    - What draft, where given, guesses of the answer of a lone request is checked in one step.
    - When a decode finds no page, the youngest request is preempted; its pages stay cached.
    - A request whose prefix is just being computed by another one waits for it.
    - What of a prompt is on disk is restored before the rest is computed, in pieces between steps.

    Not thread-safe; call between steps. A plan that was not run may be dropped for a new one.
    """

    def __init__(
        self,
        cache: KVCache,
        *,
        max_num_batched_tokens: int,
        lone_slice_tokens: int,
        max_num_seqs: int,
        dense_slice_tokens: int | None = None,
        row_limit: RowLimit | None = None,
        draft: Draft | None = None,
    ) -> None:
        for name, value in (
            ("max_num_seqs", max_num_seqs),
            ("lone_slice_tokens", lone_slice_tokens),
        ):
            if value < 1:
                raise InvalidRequestError(name, value, "at least 1")
        if max_num_batched_tokens < max_num_seqs:
            raise InvalidRequestError(
                "max_num_batched_tokens",
                max_num_batched_tokens,
                f"at least max_num_seqs ({max_num_seqs}), one token for each request",
            )
        self.cache = cache
        self.max_num_batched_tokens = max_num_batched_tokens
        self.lone_slice_tokens = max(lone_slice_tokens, max_num_batched_tokens)
        self.dense_slice_tokens = dense_slice_tokens or self.lone_slice_tokens
        self.max_num_seqs = max_num_seqs
        self.row_limit = row_limit
        self.draft = draft
        self.restorer = Restorer(cache)
        self.waiting: list[Request] = []
        self.running: list[Request] = []
        self._requests: dict[str, Request] = {}
        self._num_arrived = 0

    # --- requests come and go

    @property
    def has_unfinished(self) -> bool:
        """Whether any request waits or runs."""
        return bool(self._requests)

    def add(self, request: Request) -> None:
        """Queues a request.

        Raises MemoryPlanError when prompt and max_tokens can never fit the pool, and
        InvalidRequestError for an empty prompt, max_tokens below 1 or an id in use.
        """
        self._check_request(request)
        request.table = self.cache.open_table(
            request.prompt_token_ids,
            cache_salt=request.cache_salt,
            request_seed=request.cache_seed,
        )
        request.arrival = self._num_arrived
        self._num_arrived += 1
        self._requests[request.request_id] = request
        self.waiting.append(request)

    def _check_request(self, request: Request) -> None:
        if request.request_id in self._requests:
            raise InvalidRequestError("request_id", request.request_id, "an id not in use")
        if not request.num_prompt_tokens:
            raise InvalidRequestError("prompt_token_ids", [], "at least one token")
        if request.max_tokens < 1:
            raise InvalidRequestError("max_tokens", request.max_tokens, "at least 1")
        self.check_fits(request)

    def check_fits(self, request: Request) -> None:
        """Raise MemoryPlanError when the whole pool is too small for prompt and max_tokens."""
        pages, pool = self.cache.pages_for(request.max_computed_tokens), self.cache.num_pages
        if pages > pool:
            needed = pages * self.cache.bytes_per_page
            raise MemoryPlanError(
                needed,
                pool * self.cache.bytes_per_page,
                {"kv pages": needed},
                f"a prompt of {request.num_prompt_tokens} tokens with max_tokens "
                f"{request.max_tokens} needs {pages} pages of {self.cache.page_size} tokens, "
                f"the pool has {pool}",
            )

    def abort(self, request_id: str, reason: str = "abort") -> Request | None:
        """Ends a request now; its pages stay cached. None when the id is unknown."""
        request = self._requests.get(request_id)
        if request is not None:
            self._finish(request, reason)
        return request

    def _finish(self, request: Request, reason: str) -> None:
        (self.running if request in self.running else self.waiting).remove(request)
        del self._requests[request.request_id]
        self._release(request)
        request.state = RequestState.FINISHED
        request.finish_reason = reason

    def _release(self, request: Request) -> None:
        if not request.keeps_pages:
            request.table.tail = None  # tokens that were copied stay with whom they came from
        self.cache.release(request.table)
        # A prompt that was preempted may have named pages twice.
        computed = request.num_prompt_tokens - request.num_cached_tokens
        request.num_named_tokens = min(request.table.num_named, computed)

    # --- one step

    def schedule(self) -> StepPlan:
        """The next step; empty when nothing is unfinished, or all that is waits for the disk."""
        preempted: list[Request] = []
        decodes = self._schedule_decodes(preempted)
        if not preempted:
            self._start_waiting()
        self.restorer.step(self.running)
        prefills = self._schedule_prefills(decodes)
        return StepPlan((*decodes, *prefills), tuple(preempted))

    def update(
        self,
        plan: StepPlan,
        sampled: Mapping[str, Sequence[int]],
        *,
        provenances: Mapping[str, Provenance] = _NOTHING,
        stopped: Mapping[str, str] = _NOTHING,
    ) -> list[Request]:
        """Records a step that was run; returns the requests that ended with it.

        sampled: request id -> tokens, for each slice that samples: one, and one more for each draft
        token that was accepted.
        provenances: request id -> how the rows of its slice were made; dense where absent.
        stopped: request id -> finish reason, for requests that end with the token just sampled.
        Requests aborted since `schedule` are passed over.
        """
        finished = []
        for piece in plan.slices:
            request = piece.request
            if request.is_finished:
                continue
            assert piece.start == request.num_computed_tokens, "a plan that schedule() replaced"
            *accepted, last = sampled[request.request_id] if piece.samples else (None,)
            for token in accepted:
                request.append_output(token)
            end = piece.end - request.take_draft(len(accepted))
            request.num_computed_tokens = end
            made = provenances.get(request.request_id, DENSE)
            if request.keeps_pages:
                self.cache.commit(request.table, end, made)
            if piece.is_last_prefill and not request.output_token_ids:
                pin_prefixes(self.cache, request)
            if last is not None:
                reason = self._take_token(request, last, stopped)
                if reason:
                    self._finish(request, reason)
                    finished.append(request)
        return finished

    @staticmethod
    def _take_token(request: Request, token_id: int, stopped: Mapping[str, str]) -> str:
        request.append_output(token_id)
        request.state = RequestState.DECODE
        is_full = len(request.output_token_ids) >= request.max_tokens
        return stopped.get(request.request_id, "length" if is_full else "")

    # --- decode

    def _schedule_decodes(self, preempted: list[Request]) -> list[ScheduledSlice]:
        # Oldest first: whoever is preempted on the way is younger, hence not yet scheduled.
        return [
            slice_of(request, 1 + self._draft(request))
            for request in list(self.running)
            if request.state is RequestState.DECODE and self._reserve(request, preempted)
        ]

    def _reserve(self, request: Request, preempted: list[Request]) -> bool:
        """Pages for all tokens of `request`, by preemption if need be; False if it hit itself."""
        while self.cache.num_missing(request.table, request.num_tokens) > self.cache.num_available:
            youngest = self.running[-1]
            self._preempt(youngest)
            preempted.append(youngest)
            if youngest is request:
                return False
        self.cache.extend(request.table, request.num_tokens)
        return True

    def _draft(self, request: Request) -> int:
        """Guess what a lone request says next, into slots that it has; how many tokens."""
        request.draft_token_ids = ()
        if self.draft is None or len(self._requests) > 1:
            return 0
        room = min(request.table.num_slots, request.max_computed_tokens) - request.num_tokens
        room = min(room, self.max_num_batched_tokens - 1)
        if room > 0:
            request.draft_token_ids = tuple(self.draft(request, room))
        return len(request.draft_token_ids)

    def _preempt(self, request: Request) -> None:
        self.running.remove(request)
        if request.state is RequestState.RESTORING and request.is_first_run:
            request.cached_prefix = self.cache.held_prefix(request.table)
        self._release(request)
        request.state = RequestState.PREEMPTED
        request.draft_token_ids = ()
        request.is_first_run = False
        request.parts.clear()
        request.num_computed_tokens = 0
        insort(self.waiting, request, key=_arrival)

    # --- prefill

    def _start_waiting(self) -> None:
        for request in list(self.waiting):
            if len(self.running) >= self.max_num_seqs:
                return
            if self._still_waits_for(request):
                continue  # and looking again would take long for a long prompt
            prefix = self._prefix_for(request)
            request.waits_for = self._being_computed(request, prefix)
            if request.waits_for is not None:
                continue
            if not self._fits(prefix, request):
                # Tokens are copied from a page that has to stay meanwhile: without them it may fit.
                prefix = prefix.in_full_pages()
                if not self._fits(prefix, request):
                    return
            self._start(request, prefix)

    def _fits(self, prefix: CachedPrefix, request: Request) -> bool:
        # A spare page for each that runs, or the newcomer would be preempted at once.
        return self.cache.fits(prefix, request.num_tokens, num_spare=len(self.running))

    def _prefix_for(self, request: Request) -> CachedPrefix:
        if not request.reuse_prefix:
            return CachedPrefix()
        return self.cache.match_table(request.table, request.wanted)

    def _still_waits_for(self, request: Request) -> bool:
        """Whether the prefill that a request waits for has still not come far enough."""
        if request.waits_for is None:
            return False
        other, num_pages = request.waits_for
        return other.is_reading and other.table.num_committed < num_pages

    def _being_computed(self, request: Request, prefix: CachedPrefix) -> tuple[Request, int] | None:
        """A running prefill that will soon offer a longer prefix than is cached now; its pages."""
        if not (request.reuse_prefix and self.cache.enable_prefix_caching):
            return None
        chain = request.table.chain
        usable = (request.num_tokens - 1) // self.cache.page_size
        for other in self.running:
            if not (other.is_reading and other.keeps_pages):
                continue
            if not other.wanted.serves(request.wanted):
                continue
            shared = min(other.table.chain.num_shared_pages(chain), usable)
            if shared > max(other.table.num_committed, len(prefix.pages)):
                return other, shared
        return None

    def _start(self, request: Request, prefix: CachedPrefix) -> None:
        self.cache.load_pins()  # made or ended beside this process, for the pages named next
        from_disk = self.restorer.begin(request, prefix)
        if from_disk:
            prefix = prefix.in_full_pages()
        self.cache.start(request.table, prefix, request.num_tokens)
        self.waiting.remove(request)
        insort(self.running, request, key=_arrival)
        if request.is_first_run:
            request.cached_prefix = prefix
        request.num_computed_tokens = prefix.num_tokens
        request.state = RequestState.RESTORING if from_disk else RequestState.PREFILL

    def _schedule_prefills(self, decodes: list[ScheduledSlice]) -> list[ScheduledSlice]:
        prefills = [r for r in self.running if r.state is RequestState.PREFILL]
        if not prefills:
            return []
        budget = self._prompt_share(prefills[0], decodes)
        oldest, *others = prefills
        lengths = {oldest.request_id: min(oldest.num_ready_tokens, (budget + 1) // 2)}
        budget -= lengths[oldest.request_id]
        for request in sorted(others, key=_remaining):
            lengths[request.request_id] = min(request.num_ready_tokens, budget)
            budget -= lengths[request.request_id]
        left = oldest.num_ready_tokens - lengths[oldest.request_id]
        lengths[oldest.request_id] += min(left, budget)
        return [slice_of(r, lengths[r.request_id]) for r in prefills if lengths[r.request_id]]

    def _prompt_share(self, oldest: Request, decodes: list[ScheduledSlice]) -> int:
        """Rows of the step that prompts may have."""
        share = self.max_num_batched_tokens - len(decodes)
        if len(self.running) == 1:
            is_dense = oldest.wanted.is_dense
            share = self.dense_slice_tokens if is_dense else self.lone_slice_tokens
        if self.row_limit is None or not decodes:
            return share
        limit = self.row_limit(oldest.num_computed_tokens, [piece.end for piece in decodes])
        return min(share, limit)

    # --- laws

    def check(self) -> None:
        """Asserts the laws of the queues and of the cache below."""
        assert [*map(_arrival, self.waiting)] == sorted(map(_arrival, self.waiting))
        assert [*map(_arrival, self.running)] == sorted(map(_arrival, self.running))
        assert {*self._requests.values()} == {*self.waiting, *self.running}
        assert all(not request.pages for request in self.waiting)
        for request in self.running:
            assert request.num_computed_tokens <= request.table.num_slots
        self.cache.check([r.table for r in self.running])


def _arrival(request: Request) -> int:
    return request.arrival


def _remaining(request: Request) -> int:
    return request.num_remaining_tokens
