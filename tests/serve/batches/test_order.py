import asyncio

from hypothesis import given
from hypothesis import strategies as st

from longreach.serve.batches.order import (
    BLOCK,
    MIN_SHARED,
    PrefixQueue,
    leaders_of,
    num_shared,
    prefix_key,
)

blocks = st.lists(st.sampled_from([b"a", b"b"]), max_size=3 * MIN_SHARED)
prompts = st.lists(blocks, max_size=12)


def prompt_of(letters):
    return b"".join(letter * BLOCK for letter in letters)


@given(blocks, blocks, st.binary(max_size=BLOCK - 1))
def test_keys_share_what_prompts_share(a, b, rest):
    """Two keys have as many digests in common as their prompts have whole blocks."""
    common = 0
    while common < min(len(a), len(b)) and a[common] == b[common]:
        common += 1
    assert num_shared(prefix_key(prompt_of(a) + rest), prefix_key(prompt_of(b))) == common


@given(prompts)
def test_leaders_by_definition(letters):
    """The leader is the first of all before it that share as much with it as any of them does."""
    keys = sorted(prefix_key(prompt_of(each)) for each in letters)
    for index, leader in enumerate(leaders_of(keys)):
        shared = [num_shared(keys[earlier], keys[index]) for earlier in range(index)]
        best = max(shared, default=0)
        assert leader == (shared.index(best) if best >= MIN_SHARED else None)


@given(prompts, st.integers(1, 4))
def test_everything_runs_once_after_its_leader(letters, num_workers):
    """With any number of workers each item is taken once, and never before its leader is done."""
    keyed = [(prefix_key(prompt_of(each)), number) for number, each in enumerate(letters)]
    ordered = sorted(keyed, key=lambda pair: pair[0])
    leaders = leaders_of([key for key, _ in ordered])
    position = {number: place for place, (_, number) in enumerate(ordered)}
    taken, finished = [], set()

    async def run():
        queue = PrefixQueue(keyed)

        async def work():
            while (item := await queue.take()) is not None:
                ticket, number = item
                leader = leaders[position[number]]
                assert leader is None or leader in finished
                taken.append(number)
                await asyncio.sleep(0)
                finished.add(position[number])
                await queue.done(ticket)

        await asyncio.gather(*(work() for _ in range(num_workers)))

    asyncio.run(run())
    assert sorted(taken) == list(range(len(letters)))
