"""Cache fields of requests as pins of the engine: which prefix, how long, under which name."""

import pytest

from longreach.serve.schema.caching import seconds_of
from support.fake_async_engine import FakeAsyncEngine, qwen_template

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
HI = [{"role": "user", "content": "hi"}]
HALF_HOUR, HALF_DAY, FIVE_MINUTES = 1800.0, 43200.0, 300.0


def post(client, path, body):
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def marked(text, kind="text", **breakpoint_):
    return {
        "type": kind,
        "text": text,
        "prompt_cache_breakpoint": {"mode": "explicit", **breakpoint_},
    }


def pinned(engine):
    """(text of the prefix, seconds) of every pin of the last request."""
    request = engine.requests[-1]
    return [
        (
            engine.tokenizer.decode(
                request.prompt_token_ids[: pin.num_tokens], skip_special_tokens=False
            ),
            pin.ttl_s,
        )
        for pin in request.pins
    ]


def whole(engine):
    ids = engine.requests[-1].prompt_token_ids
    return engine.tokenizer.decode(ids, skip_special_tokens=False)


def test_nothing_said_pins_nothing(client, engine):
    """The cache is on anyway; a label alone asks for nothing."""
    post(client, CHAT, {"messages": HI, "prompt_cache_key": "mine"})
    request = engine.requests[-1]
    assert (request.pins, request.writes_cache) == ((), True)


def test_a_breakpoint_ends_its_prefix(client, engine):
    """After its part, to the token, for its own time or the usual one; the label is the key."""
    content = [marked("one two", ttl="12h"), {"type": "text", "text": "three"}, marked("four")]
    messages = [
        {"role": "system", "content": [marked("Be brief.")]},
        {"role": "user", "content": content},
    ]
    post(client, CHAT, {"messages": messages, "prompt_cache_key": "mine"})
    text = whole(engine)
    assert pinned(engine) == [
        (text[: text.index("Be brief.") + 9], HALF_HOUR),
        (text[: text.index("one two") + 7], HALF_DAY),
        (text[: text.index("four") + 4], HALF_HOUR),
    ]
    assert {pin.label for pin in engine.requests[-1].pins} == {"mine"}


def test_a_token_over_the_mark_is_left_out(client, engine):
    """A full stop with the line end behind it is one token: the prefix ends before it."""
    post(client, CHAT, {"messages": [{"role": "user", "content": [marked("Stop."), marked("x")]}]})
    assert [text.rpartition("user\n")[2] for text, _ in pinned(engine)] == ["Stop", "Stop.\nx"]


def test_marks_change_no_byte_of_the_prompt(client, engine):
    """With breakpoints or without, the same tokens."""
    plain = [{"role": "user", "content": [{"type": "text", "text": t} for t in (" a ", "b\n")]}]
    post(client, CHAT, {"messages": plain})
    without = list(engine.requests[-1].prompt_token_ids)
    messages = [{"role": "user", "content": [marked(" a "), marked("b\n")]}]
    post(client, CHAT, {"messages": messages})
    assert list(engine.requests[-1].prompt_token_ids) == without


def test_a_template_that_trims_is_followed(make_client):
    """A mark behind space that the template drops stays before what is dropped."""
    source = "{% for m in messages %}<|im_start|>{{ m.content | trim }}<|im_end|>{% endfor %}"
    engine = FakeAsyncEngine()
    engine.chat_template = type(engine.chat_template)(engine.tokenizer, {"default": source})
    client = make_client(engine)
    messages = [{"role": "user", "content": [marked("  key  \n")]}]
    post(client, CHAT, {"messages": messages, "add_generation_prompt": False})
    [(text, _)] = pinned(engine)
    assert "<|im_start|>key".startswith(text)
    assert whole(engine) == "<|im_start|>key<|im_end|>"


def test_options_keep_the_whole_prompt(client, engine):
    """Implicit: all of it and the breakpoints, for the time that is given, or the usual one."""
    for options, ttl_s in (({}, HALF_HOUR), ({"mode": "implicit", "ttl": "12h"}, HALF_DAY)):
        messages = [{"role": "user", "content": [marked("one"), {"type": "text", "text": "two"}]}]
        post(client, CHAT, {"messages": messages, "prompt_cache_options": options})
        text = whole(engine)
        assert pinned(engine) == [(text[: text.index("one") + 3], ttl_s), (text, ttl_s)]
        assert engine.requests[-1].writes_cache


def test_explicit_keeps_what_is_marked(client, engine):
    """The breakpoints alone; without any, nothing is written."""
    explicit = {"prompt_cache_options": {"mode": "explicit", "ttl": "5m"}}
    post(client, CHAT, {"messages": [{"role": "user", "content": [marked("one")]}], **explicit})
    [(text, ttl_s)] = pinned(engine)
    assert text.endswith("user\none")
    assert ttl_s == FIVE_MINUTES
    post(client, CHAT, {"messages": HI, **explicit})
    assert engine.requests[-1].pins == ()
    assert engine.requests[-1].writes_cache is False


def test_retention_of_a_day(client, engine):
    """The whole prompt for 24 hours; in memory is what happens anyway."""
    post(client, CHAT, {"messages": HI, "prompt_cache_retention": "24h"})
    assert pinned(engine) == [(whole(engine), 86400.0)]
    post(client, CHAT, {"messages": HI, "prompt_cache_retention": "in_memory"})
    assert engine.requests[-1].pins == ()


def test_the_latest_four_count(client, engine):
    """As OpenAI says; the implicit one is one of them."""
    content = [marked(word) for word in ("one", "two", "three", "four", "five")]
    messages = [{"role": "user", "content": content}]
    post(client, CHAT, {"messages": messages})
    assert [text.rpartition("\n")[2] for text, _ in pinned(engine)] == [
        "two",
        "three",
        "four",
        "five",
    ]
    post(client, CHAT, {"messages": messages, "prompt_cache_options": {}})
    assert [text.rpartition("\n")[2] for text, _ in pinned(engine)][:3] == ["three", "four", "five"]


def test_completions_obey_them_too(client, engine):
    """A prompt as it is has no parts, so all of it is the prefix."""
    post(client, "/v1/completions", {"prompt": "one two", "prompt_cache_options": {"ttl": "12h"}})
    assert pinned(engine) == [("one two", HALF_DAY)]
    explicit = {"prompt_cache_options": {"mode": "explicit"}}
    post(client, "/v1/completions", {"prompt": "one two", **explicit})
    assert engine.requests[-1].writes_cache is False


def test_responses_mark_and_repeat(client, engine):
    """Marks in items; what was said of the cache is in the response; a continued one keeps them."""
    items = [
        {
            "role": "user",
            "content": [marked("one", "input_text"), {"type": "input_text", "text": "x"}],
        }
    ]
    said = {"prompt_cache_key": "mine", "prompt_cache_options": {"ttl": "12h"}}
    response = post(client, RESPONSES, {"input": items, **said})
    assert response["prompt_cache_key"] == "mine"
    assert response["prompt_cache_options"] == {"mode": "implicit", "ttl": "12h"}
    text = whole(engine)
    assert pinned(engine) == [(text[: text.index("one") + 3], HALF_DAY), (text, HALF_DAY)]
    post(client, RESPONSES, {"input": "more", "previous_response_id": response["id"]})
    assert [ttl_s for _, ttl_s in pinned(engine)] == [HALF_HOUR]
    assert pinned(engine)[0][0].endswith("user\none")


EPHEMERAL = {"type": "ephemeral"}
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {}}}


@pytest.fixture
def tools_engine():
    return FakeAsyncEngine(chat_template=qwen_template())


def message(messages, **body):
    return {"model": "needle", "max_tokens": 9, "messages": messages, **body}


def cached(text, **ttl):
    return {"type": "text", "text": text, "cache_control": {**EPHEMERAL, **ttl}}


def test_cache_control_of_blocks(client, engine):
    """In the system text and in turns; five minutes unless an hour is said."""
    messages = [{"role": "user", "content": [cached("one", ttl="1h"), cached("two")]}]
    post(client, MESSAGES, message(messages, system=[cached("Be brief.")]))
    text = whole(engine)
    assert pinned(engine) == [
        (text[: text.index("Be brief.") + 9], FIVE_MINUTES),
        (text[: text.index("one") + 3], 3600.0),
        (text[: text.index("two") + 3], FIVE_MINUTES),
    ]


def test_cache_control_of_tools(make_client, tools_engine):
    """Templates write tools behind the system text: both end where the next turn begins."""
    client = make_client(tools_engine)
    tool = {**TOOL, "cache_control": EPHEMERAL}
    for fields in (
        {"tools": [tool]},
        {"tools": [tool], "system": "Be brief."},
        {"tools": [TOOL], "system": [cached("Be brief.")]},
    ):
        post(client, MESSAGES, message(HI, **fields))
        text, ttl_s = pinned(tools_engine)[-1]
        assert ttl_s == FIVE_MINUTES
        assert text == whole(tools_engine).partition("<|im_start|>user")[0]
        assert '"name": "f"' in text


def test_cache_control_of_calls_and_results(make_client, tools_engine):
    """A call ends its turn; a result ends with its text."""
    client = make_client(tools_engine)
    use = {"type": "tool_use", "id": "c", "name": "f", "input": {}, "cache_control": EPHEMERAL}
    result = {
        "type": "tool_result",
        "tool_use_id": "c",
        "content": "Rain",
        "cache_control": EPHEMERAL,
    }
    turns = [*HI, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    post(client, MESSAGES, message(turns, tools=[TOOL]))
    text = whole(tools_engine)
    begun = text.rindex("<|im_start|>user")
    assert [prefix for prefix, _ in pinned(tools_engine)] == [
        text[:begun],
        text[: text.index("Rain") + 4],
    ]


def test_cache_control_at_the_top(client, engine):
    """Marks the last block, unless that has its own."""
    post(client, MESSAGES, message(HI, cache_control=EPHEMERAL))
    [(text, ttl_s)] = pinned(engine)
    assert (text.rpartition("\n")[2], ttl_s) == ("hi", FIVE_MINUTES)
    own = [{"role": "user", "content": [cached("hi", ttl="1h")]}]
    post(client, MESSAGES, message(own, cache_control=EPHEMERAL))
    assert [ttl_s for _, ttl_s in pinned(engine)] == [3600.0]


def test_five_are_too_many(client):
    """As Anthropic says: 400, with the number found."""
    content = [cached(word) for word in "abcde"]
    answer = client.post(MESSAGES, json=message([{"role": "user", "content": content}]))
    assert answer.status_code == 400
    assert "Found 5" in answer.json()["error"]["message"]


def test_a_document_block_ends_a_prefix(client, engine):
    """The document, and what is said of it; the question comes after."""
    source = {"type": "text", "media_type": "text/plain", "data": "The key is 7"}
    block = {"type": "document", "source": source, "cache_control": EPHEMERAL}
    content = [block, {"type": "text", "text": "What is the key?"}]
    post(client, MESSAGES, message([{"role": "user", "content": content}]))
    [(text, _)] = pinned(engine)
    assert text.endswith("The key is 7")


def test_usage_tells_what_was_read_and_written(make_client):
    """In OpenAI's words and in Anthropic's."""
    client = make_client(FakeAsyncEngine(num_cached=3))
    details = post(client, CHAT, {"messages": HI})["usage"]["prompt_tokens_details"]
    assert details == {"cached_tokens": 3, "cache_write_tokens": 128}
    details = post(client, RESPONSES, {"input": "hi"})["usage"]["input_tokens_details"]
    assert details == {"cached_tokens": 3, "cache_write_tokens": 128}
    usage = post(client, MESSAGES, message(HI))["usage"]
    assert usage["cache_read_input_tokens"] == 3
    assert usage["cache_creation_input_tokens"] > 0


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (CHAT, {"prompt_cache_options": {"ttl": "soon"}}, "prompt_cache_options.ttl"),
        (CHAT, {"prompt_cache_options": {"ttl": "31d"}}, "prompt_cache_options.ttl"),
        (CHAT, {"prompt_cache_options": {"mode": "off"}}, "prompt_cache_options.mode"),
        (CHAT, {"prompt_cache_options": {"more": 1}}, "prompt_cache_options.more"),
        (CHAT, {"prompt_cache_retention": "1h"}, "prompt_cache_retention"),
        (CHAT, {"prompt_cache_key": "k" * 513}, "prompt_cache_key"),
        (CHAT, {"longreach": {"more": 1}}, "longreach.more"),
        (RESPONSES, {"prompt_cache_options": {"ttl": "0m"}}, "prompt_cache_options.ttl"),
    ],
)
def test_what_cannot_be_obeyed(client, path, body, param):
    """400 with the field."""
    answer = client.post(
        path, json={"messages": HI, **body} if path == CHAT else {"input": "hi", **body}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize("given", [{"mode": "implicit"}, {"mode": "explicit", "ttl": "x"}, 5, []])
def test_a_breakpoint_that_is_wrong(client, given):
    """400 with its path."""
    part = {"type": "text", "text": "a", "prompt_cache_breakpoint": given}
    answer = client.post(CHAT, json={"messages": [{"role": "user", "content": [part]}]})
    assert answer.status_code == 400
    where = "messages[0].content[0].prompt_cache_breakpoint"
    assert answer.json()["error"]["param"] == where


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45s", 45), ("30m", 1800), ("12h", 43200), ("7d", 604800), ("30d", 2592000)],
)
def test_durations(text, seconds):
    """A number and a unit."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "5", "05m", "1.5h", "-1m", "1w", "721h", " 5m", "5M"])
def test_no_durations(text):
    """Nothing else, and no more than thirty days."""
    with pytest.raises(ValueError, match="30d"):
        seconds_of(text)
