"""Why not more of a prompt was found in the cache, and at which token it left what was.

Prompts seen lately are remembered, with their answers, for comparison; of the same salt only, so
that nobody learns anything of another tenant's prompts.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from longreach.cache import HashChain, KVCache
    from longreach.engine.request import Request

MAX_PROMPTS, MAX_TOKENS = 64, 2**21

MissReason = Literal[
    "new prompt",  # nothing like it was seen lately
    "tokens differ",  # it is like an earlier prompt up to there
    "evicted",  # an earlier prompt was read further, but those pages were given up since
    "not read",  # an earlier prompt was not read further: stopped, or not done yet
    "denser pages wanted",  # further pages are cached, but sparser than this request wants them
    "unknown",  # the earlier prompt is no longer remembered
    "not reused",  # it was asked to compute every row, or prefix caching is off
]


class CacheMiss(NamedTuple):
    """at: the first prompt token that was not like (or not of) an earlier prompt's cached pages.

    Both None: all that can be cached of the prompt was, or it goes on where an earlier one ended.
    """

    at: int | None = None
    reason: MissReason | None = None


NO_MISS = CacheMiss()


@dataclass(kw_only=True)
class _Seen:
    """An earlier prompt and its answer; num_read of its tokens were computed.

    num_tokens: those of the prompt, and of the answer once it has ended.
    """

    num_prompt_tokens: int
    num_tokens: int
    chain: HashChain
    key: tuple[str, bytes]
    num_read: int = 0

    def num_shared(self, request: Request) -> int:
        """Leading tokens that both have."""
        chain = request.table.chain
        at = self.chain.num_shared_pages(chain) * chain.page_size
        end = min(self.chain.num_tokens, request.num_prompt_tokens, at + chain.page_size)
        while at < end and self.chain.tokens[at] == request.prompt_token_ids[at]:
            at += 1
        return at


@dataclass(kw_only=True)
class PromptMemory:
    """The last prompts: at most max_prompts, and max_tokens (4 bytes each) but for the newest."""

    cache: KVCache
    max_prompts: int = MAX_PROMPTS
    max_tokens: int = MAX_TOKENS
    _seen: OrderedDict[int, _Seen] = field(default_factory=OrderedDict)
    _num_tokens: int = 0

    def begin(self, request: Request) -> CacheMiss:
        """Explain what was found for a request that starts, and remember its prompt."""
        if not (self.cache.enable_prefix_caching and request.keeps_pages):
            return CacheMiss(None, "not reused")
        miss = self._explain(request) if request.reuse_prefix else CacheMiss(None, "not reused")
        self._seen[request.arrival] = _Seen(
            num_prompt_tokens=request.num_prompt_tokens,
            num_tokens=request.num_prompt_tokens,
            chain=request.table.chain,
            key=(request.cache_salt, request.cache_seed),
        )
        self._num_tokens += request.num_prompt_tokens
        while len(self._seen) > self.max_prompts or (
            self._num_tokens > self.max_tokens and len(self._seen) > 1
        ):
            _, oldest = self._seen.popitem(last=False)
            self._num_tokens -= oldest.num_tokens
        return miss

    def end(self, request: Request) -> None:
        """The request has ended: remember its answer too, and how far it came."""
        seen = self._seen.get(request.arrival)
        if seen is not None:
            seen.num_read = request.num_computed_tokens
            seen.num_tokens += len(request.output_token_ids)
            self._num_tokens += len(request.output_token_ids)

    def _explain(self, request: Request) -> CacheMiss:
        key = (request.cache_salt, request.cache_seed)
        cached, last = request.num_cached_tokens, request.num_prompt_tokens - 1
        alike = [
            (seen.num_shared(request), seen) for seen in self._seen.values() if seen.key == key
        ]
        shared, seen = max(alike, key=lambda pair: (pair[0], pair[1].num_read), default=(0, None))
        if cached > shared:
            all_of_it = cached >= last // self.cache.page_size * self.cache.page_size
            return NO_MISS if all_of_it else CacheMiss(cached, "unknown")
        if seen is None or not shared:
            return CacheMiss(None, "new prompt")
        page = self.cache.page_size
        if cached >= min(shared, last) // page * page:
            goes_on = shared >= last or shared in (seen.num_prompt_tokens, seen.num_tokens)
            return NO_MISS if goes_on else CacheMiss(shared, "tokens differ")
        return CacheMiss(cached, self._lost(request, seen))

    def _lost(self, request: Request, seen: _Seen) -> MissReason:
        """Why the page after the cached ones, which an earlier prompt has too, was not found."""
        at = request.num_cached_tokens // self.cache.page_size
        if self.cache.index.page_of(request.table.chain.digests[at]) is not None:
            return "denser pages wanted"
        was_read = seen.num_read >= (at + 1) * self.cache.page_size
        return "evicted" if was_read else "not read"
