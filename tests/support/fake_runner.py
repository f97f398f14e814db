"""A model without tensors: its key at a slot is a digest of every token up to it.

So whoever reads a page that was overwritten, given twice or named wrongly is found out at once.
"""

import hashlib

from longreach.cache import DENSE

VOCABULARY = 7


def keys_of(tokens, salt=""):
    """The key of each token: depends on the salt and all tokens up to it."""
    key, keys = salt.encode(), []
    for token in tokens:
        key = hashlib.sha256(key + b"|%d" % token).digest()
        keys.append(key)
    return keys


def next_token(key):
    return key[0] % VOCABULARY


def outputs_alone(prompt, count, salt=""):
    """What the model says to this prompt when it is the only one."""
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(next_token(keys_of(tokens, salt)[-1]))
    return tokens[len(prompt) :]


def accepted(keys, draft):
    """What follows the last keys of a slice whose last tokens are guesses: as far as they hold."""
    tokens = []
    for key, guess in zip(keys[len(keys) - 1 - len(draft) :], [*draft, None], strict=True):
        tokens.append(next_token(key))
        if tokens[-1] != guess:
            break
    return tokens


class FakeRunner:
    """Runs the plans of a scheduler; checks every key that a slice reads. Its cache's pool, too."""

    def __init__(self, cache):
        self.slots = {}
        self.rows = 0
        self.page_size, self.bytes_per_page = cache.page_size, cache.bytes_per_page
        cache.pool = self

    def copy(self, source, target, num_tokens):
        """As KVPool.copy."""
        for at in range(num_tokens):
            written = self.slots[source * self.page_size + at]
            self.slots[target * self.page_size + at] = written

    def run(self, plan):
        """Returns (sampled, provenances), as Scheduler.update takes them."""
        sampled, provenances = {}, {}
        for piece in plan.slices:
            request = piece.request
            made = DENSE if piece.is_decode else request.wanted
            keys = self._compute(request, piece, made)
            provenances[request.request_id] = made
            if piece.samples:
                sampled[request.request_id] = accepted(keys, request.draft_token_ids)
        self.rows += plan.num_tokens
        return sampled, provenances

    def _compute(self, request, piece, made):
        assert piece.length > 0
        keys = keys_of(request.token_ids(0, piece.end), request.cache_salt)
        slots = request.table.slots(0, piece.end).tolist()
        for slot, key in zip(slots[: piece.start], keys, strict=False):
            written, provenance = self.slots[slot]
            assert written == key, "a slot of this request holds something else"
            assert provenance.serves(request.wanted), "a page worse than wanted was reused"
            made = made.after(provenance)
        for slot, key in zip(slots[piece.start :], keys[piece.start :], strict=True):
            self.slots[slot] = (key, made)
        return keys


def step(scheduler, runner, stopped=None):
    """One step of the fake engine; returns the plan and the requests that ended with it."""
    plan = scheduler.schedule()
    sampled, provenances = runner.run(plan)
    ended = scheduler.update(plan, sampled, provenances=provenances, stopped=stopped or {})
    scheduler.check()
    return plan, ended


def run_all(scheduler, runner, limit=1000):
    """Steps until nothing is unfinished; returns the plans."""
    plans = []
    while scheduler.has_unfinished:
        plans.append(step(scheduler, runner)[0])
        assert plans[-1].slices, "work is left, and nothing was scheduled"
        assert len(plans) < limit, "requests do not end"
    return plans
