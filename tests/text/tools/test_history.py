"""OpenAI's messages on their way into a chat template."""

from __future__ import annotations

import copy
import json

import pytest

from longreach.errors import InvalidRequestError
from longreach.text import ChatTemplate, Tokenizer
from longreach.text.tools.calls import parse_tool_calls
from longreach.text.tools.history import template_messages
from support.qwen_chat import SYSTEM, TEMPLATE, TOOLS_INTRO, TOOLS_OUTRO
from support.text import make_core

ARGUMENTS = '{"z": "höhe \\"<b>\\"", "a": {"n": [1, 2.5, null, true]}}'
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "find",
            "description": "Finds <text> & more – überall.",
            "parameters": {"type": "object", "properties": {"z": {"type": "string"}, "a": {}}},
        },
    }
]


def call(arguments=ARGUMENTS, name="find", call_id="call_1"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(content, call_id="call_1"):
    return {"role": "tool", "tool_call_id": call_id, "content": content}


USER = {"role": "user", "content": "Where?"}
CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    USER,
    {"role": "assistant", "content": None, "tool_calls": [call(), call("{}", "now", "call_2")]},
    result("12 & 13"),
    result('{"time": 3}', "call_2"),
    {"role": "assistant", "content": "Once more.", "tool_calls": [call()]},
    result("14"),
    {"role": "assistant", "content": "At 14."},
    {"role": "user", "content": "Thanks"},
]


@pytest.fixture(scope="module")
def chat():
    names = {"eos_token": "<|im_end|>"}
    return ChatTemplate(Tokenizer(make_core(), special_names=names), {"default": TEMPLATE})


@pytest.fixture(scope="module")
def theirs():
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=make_core(), chat_template=TEMPLATE, eos_token="<|im_end|>"
    )


def parsed(messages):
    """The messages as people hand them to transformers: arguments are objects."""
    messages = copy.deepcopy(messages)
    for message in messages:
        for one in message.get("tool_calls", ()):
            one["function"]["arguments"] = json.loads(one["function"]["arguments"])
    return messages


@pytest.mark.parametrize("length", range(1, len(CONVERSATION) + 1))
@pytest.mark.parametrize("tools", [None, TOOLS], ids=["plain", "tools"])
def test_renders_as_transformers(chat, theirs, length, tools):
    """A history with calls and results reads, to the byte, as transformers renders it."""
    messages = CONVERSATION[:length]
    ours = chat.render(template_messages(messages), tools=tools).text
    options = {"tools": tools, "tokenize": False, "add_generation_prompt": True}
    assert ours == theirs.apply_chat_template(parsed(messages), **options)


def test_reads_as_qwen_writes_it(chat):
    """The whole text of a conversation with tools, spelled out."""
    rendered = chat.render(template_messages(CONVERSATION[1:5]), tools=TOOLS).text
    assert rendered == (
        f"<|im_start|>system\n{SYSTEM}{TOOLS_INTRO}\n"
        '{"type": "function", "function": {"name": "find", "description": '
        '"Finds <text> & more – überall.", "parameters": {"type": "object", "properties": '
        '{"z": {"type": "string"}, "a": {}}}}}'
        f"{TOOLS_OUTRO}<|im_end|>\n"
        "<|im_start|>user\nWhere?<|im_end|>\n"
        "<|im_start|>assistant\n"
        f'<tool_call>\n{{"name": "find", "arguments": {ARGUMENTS}}}\n</tool_call>\n'
        '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\n12 & 13\n</tool_response>\n"
        '<tool_response>\n{"time": 3}\n</tool_response><|im_end|>\n'
        "<|im_start|>assistant\n"
    )


def test_an_output_comes_back_as_it_was_written(chat):
    """Prompt and output are a prefix of the next prompt, so the prefix cache serves them both."""
    output = (
        f'Both:\n<tool_call>\n{{"name": "find", "arguments": {ARGUMENTS}}}\n</tool_call>\n'
        '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
    )
    content, calls = parse_tool_calls(output)
    answer = {
        "role": "assistant",
        "content": content,
        "tool_calls": [call(one.arguments, one.name, one.id) for one in calls],
    }
    before = chat.render(template_messages([USER]), tools=TOOLS).text
    after = chat.render(template_messages([USER, answer, result("1")]), tools=TOOLS).text
    assert after.startswith(f"{before}{output}<|im_end|>\n")


def test_the_older_form_reads_as_the_newer(chat):
    """`function_call` and the role "function" render as a tool call and its result."""
    function = {"name": "find", "arguments": ARGUMENTS}
    old = [
        USER,
        {"role": "assistant", "content": None, "function_call": function},
        {"role": "function", "name": "find", "content": "12"},
    ]
    new = [USER, {"role": "assistant", "content": None, "tool_calls": [call()]}, result("12")]
    assert "function_call" not in template_messages(old)[1]
    renders = [
        chat.render(template_messages(messages), tools=TOOLS).text for messages in (old, new)
    ]
    assert renders[0] == renders[1]


def test_parts_and_roles_of_the_wire(chat):
    """Content in parts reads as their text, developer messages are the system's."""
    parts = [{"type": "text", "text": "12"}, {"type": "text", "text": "13"}]
    wire = [{"role": "developer", "content": parts}, USER, {**result(None)}, result(parts)]
    plain = [{"role": "system", "content": "12\n13"}, USER, result(""), result("12\n13")]
    assert chat.render(template_messages(wire)).text == chat.render(plain).text


@pytest.mark.parametrize("arguments", ["", " ", None, "{}", {}])
def test_no_arguments_are_an_empty_object(arguments):
    """Whatever a client sends for a call without arguments, templates see an object."""
    (message,) = template_messages([{"role": "assistant", "tool_calls": [call(arguments)]}])
    assert message["tool_calls"][0]["function"]["arguments"] == {}


def test_messages_given_stay_as_they_are():
    """The caller's messages are not changed."""
    messages = copy.deepcopy(CONVERSATION)
    template_messages(messages)
    assert messages == CONVERSATION


DEEP = '{"a":' * 20_000


@pytest.mark.parametrize("arguments", ["{", "[1]", '"text"', "none", '{"a": NaN}', 3, DEEP])
def test_arguments_that_are_no_object(arguments):
    """Arguments that are not the JSON text of an object are refused by their place."""
    messages = [USER, {"role": "assistant", "tool_calls": [call(), call(arguments)]}]
    with pytest.raises(InvalidRequestError) as caught:
        template_messages(messages)
    assert caught.value.field == "messages[1].tool_calls[1].function.arguments"
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"tool_calls": "f"}, "messages[0].tool_calls"),
        ({"tool_calls": {"name": "f"}}, "messages[0].tool_calls"),
        ({"tool_calls": [3]}, "messages[0].tool_calls[0]"),
        ({"tool_calls": [{**call(), "type": "custom"}]}, "messages[0].tool_calls[0]"),
        ({"tool_calls": [{"function": {}}]}, "messages[0].tool_calls[0].function"),
        ({"function_call": "f"}, "messages[0].function_call"),
        ({"function_call": {"name": "f", "arguments": "{"}}, "messages[0].function_call.arguments"),
        (
            {"tool_calls": [call()], "function_call": {"name": "f", "arguments": "{}"}},
            "messages[0].function_call",
        ),
    ],
)
def test_calls_of_another_shape(message, field):
    """A call that cannot be shown is refused by its place."""
    with pytest.raises(InvalidRequestError) as caught:
        template_messages([{"role": "assistant", **message}])
    assert caught.value.field == field
