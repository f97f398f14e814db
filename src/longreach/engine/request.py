"""One prompt's life, as the scheduler sees it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from longreach.cache import DENSE, CachedPrefix, PageTable, Part, Provenance

if TYPE_CHECKING:
    from longreach.engine.protocol import PrefixPin


class RequestState(Enum):
    """WAITING -> PREFILL -> DECODE -> FINISHED; PREEMPTED waits again, from any of the middle ones.

    RESTORING comes before PREFILL where pages of the prompt are on disk.
    """

    WAITING = "waiting"
    RESTORING = "restoring"
    PREFILL = "prefill"
    DECODE = "decode"
    PREEMPTED = "preempted"
    FINISHED = "finished"


@dataclass(kw_only=True, eq=False)
class Request:
    """One prompt and what became of it. `n` samples of a prompt are `n` sibling requests.

    max_tokens: most tokens to generate, at least 1.
    params: how to sample; never read by the scheduler.
    wanted: the attention it asks for; which cached pages may serve it.
    cache_salt, cache_seed: tenants, and what else its keys depend on (the base of dynamic NTK).
    reuse_prefix: False computes every row (prompt_logprobs needs them).
    keeps_pages: False leaves no page in the prefix cache.
    pins: prefixes of the prompt that stay, from when it is read.
    arrival, table: set by Scheduler.add.
    num_computed_tokens: tokens whose keys are in the pages, reused ones included.
    max_slice_tokens: most prompt rows in one step, once a longer slice did not find its memory;
    num_memory_failures: how often that was.
    parts: pages on disk that it waits for; they follow its computed tokens.
    waits_for: another request that reads the same prefix now, and how many pages of it are wanted.
    is_first_run: False once it was preempted.
    cached_prefix: what was found when the request first started; a resumed one does not count.
    num_restored_tokens: of them, how many came from disk.
    num_named_tokens: of its prompt, computed for it and known to the prefix cache since it ended.
    draft_token_ids: guesses of what follows its tokens, that the next step checks.
    num_draft_tokens, num_accepted_tokens: guesses checked so far, and those that were right.
    """

    request_id: str
    prompt_token_ids: Sequence[int]
    max_tokens: int
    params: object = None
    wanted: Provenance = DENSE
    cache_salt: str = ""
    cache_seed: bytes = b""
    reuse_prefix: bool = True
    keeps_pages: bool = True
    pins: Sequence[PrefixPin] = ()

    arrival: int = field(default=-1, init=False)
    table: PageTable = field(init=False)
    state: RequestState = field(default=RequestState.WAITING, init=False)
    num_computed_tokens: int = field(default=0, init=False)
    parts: deque[Part] = field(default_factory=deque, init=False)
    waits_for: tuple[Request, int] | None = field(default=None, init=False)
    is_first_run: bool = field(default=True, init=False)
    cached_prefix: CachedPrefix = field(default=CachedPrefix(), init=False)
    num_restored_tokens: int = field(default=0, init=False)
    num_named_tokens: int = field(default=0, init=False)
    max_slice_tokens: int | None = field(default=None, init=False)
    num_memory_failures: int = field(default=0, init=False)
    output_token_ids: list[int] = field(default_factory=list, init=False)
    finish_reason: str = field(default="", init=False)
    draft_token_ids: Sequence[int] = field(default=(), init=False)
    num_draft_tokens: int = field(default=0, init=False)
    num_accepted_tokens: int = field(default=0, init=False)

    @property
    def is_reading(self) -> bool:
        """Whether its prompt is being computed, or restored."""
        return self.state in (RequestState.PREFILL, RequestState.RESTORING)

    @property
    def num_prompt_tokens(self) -> int:
        """Length of the prompt."""
        return len(self.prompt_token_ids)

    @property
    def num_tokens(self) -> int:
        """Prompt and output so far; the last one may not be computed yet."""
        return len(self.prompt_token_ids) + len(self.output_token_ids)

    @property
    def num_remaining_tokens(self) -> int:
        """Tokens to compute before the next one can be sampled."""
        return self.num_tokens - self.num_computed_tokens

    @property
    def num_ready_tokens(self) -> int:
        """Of them, how many one step may compute."""
        remaining = self.num_remaining_tokens
        return remaining if self.max_slice_tokens is None else min(remaining, self.max_slice_tokens)

    @property
    def num_cached_tokens(self) -> int:
        """Prompt tokens found in the cache, on disk too, when the request first started."""
        if self.state is RequestState.RESTORING and self.is_first_run:
            return self.num_computed_tokens
        return self.cached_prefix.num_tokens

    @property
    def max_computed_tokens(self) -> int:
        """Slots the request may need: its last sampled token is never fed back."""
        return self.num_prompt_tokens + self.max_tokens - 1

    @property
    def pages(self) -> list[int]:
        """Pages owned now, in order."""
        return self.table.pages

    @property
    def is_finished(self) -> bool:
        """Whether it ended, for whatever reason."""
        return self.state is RequestState.FINISHED

    def token_ids(self, start: int, end: int) -> list[int]:
        """Tokens [start, end) of prompt, output and draft, without joining them."""
        prompt, known = self.num_prompt_tokens, self.num_tokens
        head = self.prompt_token_ids[start : min(end, prompt)]
        output = self.output_token_ids[max(start - prompt, 0) : max(end - prompt, 0)]
        return [*head, *output, *self.draft_token_ids[max(start - known, 0) : max(end - known, 0)]]

    def take_draft(self, num_accepted: int) -> int:
        """Count what a step checked of the draft; how many of its tokens were wrong."""
        count, self.draft_token_ids = len(self.draft_token_ids), ()
        self.num_draft_tokens += count
        self.num_accepted_tokens += num_accepted
        return count - num_accepted

    def append_output(self, token_id: int) -> None:
        """Adds a sampled token; its keys are computed by the next step."""
        self.output_token_ids.append(token_id)
        self.table.chain.append((token_id,))
