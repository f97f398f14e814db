import asyncio
import itertools
import random

import pytest

from longreach.bench.serve.client import RequestRecord
from longreach.bench.serve.load import arrival_gaps, run_load
from longreach.bench.serve.prompts import PromptLengths, random_text


def test_arrivals_are_poisson():
    """The mean gap is one over the rate, the first arrival comes at once, inf never waits."""
    gaps = list(itertools.islice(arrival_gaps(4.0, random.Random(0)), 20_001))
    assert gaps[0] == 0.0
    # 20 000 draws: the mean is off by 3 % with odds below 1 in 10 000.
    assert sum(gaps) / 20_000 == pytest.approx(0.25, rel=0.03)
    assert set(itertools.islice(arrival_gaps(float("inf"), random.Random(0)), 9)) == {0.0}


@pytest.mark.parametrize("limit", [1, 3, None])
def test_concurrency_is_bounded(limit):
    """Never more than the limit run at a time, and every prompt is asked once, in its place."""
    running, most, ended = 0, 0, []

    async def ask(prompt):
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(random.Random(prompt).randrange(1, 5)):
            await asyncio.sleep(0)
        running -= 1
        return RequestRecord(started_s=float(prompt))

    result = asyncio.run(
        run_load(
            ask,
            [str(number) for number in range(10)],
            request_rate=float("inf"),
            max_concurrency=limit,
            rng=random.Random(0),
            on_done=lambda: ended.append(1),
        )
    )
    assert [record.started_s for record in result.records] == list(range(10))
    assert most == (limit or 10)
    assert len(ended) == 10


def test_words_for_tokens():
    """A prompt has as many words as make its tokens with the template's, and at least one."""
    lengths = PromptLengths(fixed=20, per_word=1.5)
    assert lengths.num_words(320) == 200
    assert lengths.num_words(5) == 1
    assert len(random_text(random.Random(0), 200).split()) == 200
