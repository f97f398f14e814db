"""News for one request: joined when nobody looks, never lost, never out of order."""

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longreach.engine.mailbox import Mailbox, Waker, join_outputs
from longreach.engine.outputs import CompletionOutput, RequestOutput
from longreach.engine.protocol import PromptProgress


def piece(text, index=0, *, finished=False, prompt_logprobs=None):
    answer = CompletionOutput(
        index=index,
        text=text,
        token_ids=tuple(map(ord, text)),
        logprobs=[{ord(c): None} for c in text],
        finish_reason="stop" if finished else None,
    )
    return RequestOutput(
        request_id="a",
        prompt=None,
        prompt_token_ids=(),
        outputs=[answer],
        finished=finished,
        prompt_logprobs=prompt_logprobs,
    )


def progress(processed):
    return PromptProgress(processed=processed, total=9, cached=2, time_ms=0.0)


async def empty(mailbox):
    items = []
    while not mailbox.is_exhausted:
        items.append(await mailbox.get())
        await asyncio.sleep(0)
    return items


@given(
    st.lists(st.integers(0, 8), max_size=5),
    st.lists(st.tuples(st.text("abc", max_size=3), st.integers(0, 2)), max_size=12),
    st.lists(st.booleans(), min_size=20, max_size=20),
)
@settings(max_examples=100)
def test_joined_or_not_the_same_is_said(processed, pieces, looks):
    """However often a consumer looks: all text in order, first and last progress, bounded size."""

    async def main():
        waker = Waker(asyncio.get_running_loop())
        mailbox, look = Mailbox(waker), iter(looks)

        def put(item):
            mailbox.put(item)
            waker.flush()
            assert len(mailbox._items) <= 3
            return next(look)

        news = [*map(progress, processed), *(piece(text, index) for text, index in pieces)]
        seen = [await mailbox.get() for item in news if put(item)]
        put(piece("", finished=True))
        return seen + await empty(mailbox)

    seen = asyncio.run(main())
    told = [item.processed for item in seen if isinstance(item, PromptProgress)]
    assert set(told) <= set(processed)
    if processed:
        assert (told[0], told[-1]) == (processed[0], processed[-1])
    answers = [a for item in seen if isinstance(item, RequestOutput) for a in item.outputs]
    for index in range(3):
        text = "".join(text for text, at in pieces if at == index)
        mine = [answer for answer in answers if answer.index == index]
        assert "".join(answer.text for answer in mine) == text
        assert [t for answer in mine for t in answer.token_ids] == list(map(ord, text))
        assert sum(len(answer.logprobs) for answer in mine) == len(text)
    assert seen[-1].finished


def test_a_waiting_coroutine_is_woken_from_another_thread():
    """What another thread puts in arrives; a step with news for many wakes the loop once."""

    async def main():
        loop = asyncio.get_running_loop()
        waker = Waker(loop)
        boxes = [Mailbox(waker) for _ in range(5)]
        calls = []
        schedule = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *args: calls.append(args) or schedule(*args)

        def fill():
            for box in boxes:
                box.put(piece("x", finished=True))
            waker.flush()

        waiting = [asyncio.create_task(box.get()) for box in boxes]
        await asyncio.sleep(0)
        threading.Thread(target=fill).start()
        items = await asyncio.wait_for(asyncio.gather(*waiting), 10)
        assert [item.outputs[0].text for item in items] == ["x"] * 5
        assert len([args for args in calls if args[0] == waker._wake]) == 1

    asyncio.run(main())


def test_nothing_follows_the_end():
    """What is put in after the last output is dropped."""

    async def main():
        mailbox = Mailbox(Waker(asyncio.get_running_loop()))
        for text in ("a", "b"):
            mailbox.put(piece(text, finished=True))
        return await empty(mailbox)

    (item,) = asyncio.run(main())
    assert item.outputs[0].text == "a"


def test_joined_pieces_keep_what_came_once():
    """Prompt log-probabilities of the first piece survive; the end is the second's."""
    joined = join_outputs(piece("a", prompt_logprobs=[None]), piece("b", finished=True))
    assert joined.prompt_logprobs == [None]
    assert joined.finished
    assert joined.outputs[0].finish_reason == "stop"


def test_a_closed_event_loop_is_noticed():
    """Waking a loop that is gone raises, so that its requests can be aborted."""
    loop = asyncio.new_event_loop()
    waker = Waker(loop)
    loop.close()
    Mailbox(waker).put(piece("a"))
    with pytest.raises(RuntimeError):
        waker.flush()
