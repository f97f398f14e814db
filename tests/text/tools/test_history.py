"""OpenAI's messages, with tool calls in the history, through a chat template."""

from __future__ import annotations

import copy
import json

import pytest

from longreach.text import ChatTemplate, Tokenizer
from support.qwen_chat import SYSTEM, TEMPLATE, TOOLS_INTRO, TOOLS_OUTRO
from support.text import make_core
from support.tool_calls import calls_of

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
    ours = chat.render(messages, tools=tools).text
    options = {"tools": tools, "tokenize": False, "add_generation_prompt": True}
    assert ours == theirs.apply_chat_template(parsed(messages), **options)


def test_reads_as_qwen_writes_it(chat):
    """The whole text of a conversation with tools, spelled out."""
    rendered = chat.render(CONVERSATION[1:5], tools=TOOLS).text
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
    content, calls = calls_of(output)
    answer = {
        "role": "assistant",
        "content": content,
        "tool_calls": [call(arguments, name) for name, arguments in calls],
    }
    before = chat.render([USER], tools=TOOLS).text
    after = chat.render([USER, answer, result("1")], tools=TOOLS).text
    assert after.startswith(f"{before}{output}<|im_end|>\n")
