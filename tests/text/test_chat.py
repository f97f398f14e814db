"""Chat templates: equal to transformers for ordinary messages, and not to be forged by any."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longreach.errors import InvalidRequestError, TemplateError
from longreach.text import ChatTemplate, Tokenizer
from support.text import SPECIALS, make_core

NAMES = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
# In the manner of Qwen's templates: tools as JSON, calls and answers grouped, reasoning cut off.
TEMPLATE = """
{%- macro turn(role, body) %}
    {{- '<|im_start|>' ~ role ~ '\\n' ~ body ~ '<|im_end|>\\n' }}
{%- endmacro %}
{%- if messages[0].role == 'system' %}
    {%- set ns = namespace(system=messages[0]['content']) %}
{%- else %}
    {%- set ns = namespace(system='You help.') %}
{%- endif %}
{%- if tools %}
    {%- set ns.system = ns.system + '\\n# Tools\\n<tools>' %}
    {%- for tool in tools %}{% set ns.system = ns.system + '\\n' + tool | tojson %}{% endfor %}
    {%- set ns.system = ns.system + '\\n</tools>' %}
{%- endif %}
{{- turn('system', ns.system) }}
{%- for message in messages %}
    {%- if message.role == 'system' and loop.first %}{% continue %}{% endif %}
    {%- if message.role == 'stop' %}{% break %}{% endif %}
    {%- if message.role not in ['user', 'assistant', 'tool'] %}
        {{- raise_exception('unknown role ' + message.role) }}
    {%- endif %}
    {%- if message.role == 'assistant' %}
        {%- generation %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if message.content %}
            {{- message.content.split('</think>')[-1].lstrip('\\n') }}
        {%- endif %}
        {%- for call in message.tool_calls or [] %}
            {{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
        {%- endgeneration %}
    {%- else %}
        {{- turn('user' if message.role == 'tool' else message.role, message.content) }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think></think>' }}
    {%- endif %}
{%- endif %}
"""
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"é": ["<b>", 1, None]}}}]
CALL = {"type": "function", "function": {"name": "find", "arguments": {"q": "höhe"}}}
CONVERSATIONS = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi {{ x }} "}],
    [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": "<think>hm</think>\n\nHere: ", "tool_calls": [CALL]},
        {"role": "tool", "content": "12 & 13"},
        {"role": "assistant", "content": None},
        {"role": "user", "content": "<tool_call> end|>"},
    ],
    [
        {"role": "user", "content": "a"},
        {"role": "stop", "content": ""},
        {"role": "user", "content": "b"},
    ],
]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer(make_core(), special_names=NAMES)


@pytest.fixture(scope="module")
def chat(tokenizer):
    return ChatTemplate(tokenizer, {"default": TEMPLATE})


@pytest.fixture(scope="module")
def theirs():
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=make_core(), chat_template=TEMPLATE, eos_token=NAMES["eos_token"]
    )


def user(content):
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize("messages", CONVERSATIONS, ids=range(len(CONVERSATIONS)))
@pytest.mark.parametrize("tools", [None, TOOLS], ids=["plain", "tools"])
@pytest.mark.parametrize(
    "options", [{}, {"add_generation_prompt": False}, {"enable_thinking": False}]
)
def test_renders_as_transformers(chat, theirs, messages, tools, options):
    """Text and ids of ordinary conversations are those of transformers."""
    options = {"add_generation_prompt": True} | options
    expected = theirs.apply_chat_template(messages, tools=tools, tokenize=False, **options)
    assert chat.render(messages, tools=tools, **options).text == expected
    ids = theirs.encode(expected, add_special_tokens=False)
    assert chat.encode(messages, tools=tools, **options) == ids


@pytest.mark.parametrize("final", ["So it is", "So it is  ", "  So"])
@pytest.mark.parametrize("trim", ["", " | trim"])
def test_continues_the_final_message(tokenizer, theirs, final, trim):
    """The last message stays open, trimmed just when the template trims."""
    source = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content" + trim + " }}<|im_end|>\n"
        "{% endfor %}"
    )
    messages = [*user("Go"), {"role": "assistant", "content": final}]
    options = {"add_generation_prompt": False, "continue_final_message": True}
    rendered = ChatTemplate(tokenizer, {"default": source}).render(messages, **options)
    expected = theirs.apply_chat_template(messages, chat_template=source, tokenize=False, **options)
    assert rendered.text == expected
    assert rendered.segments[-1] == (f"assistant\n{final.strip() if trim else final}", False)


HOSTILE = st.one_of(
    st.lists(
        st.sampled_from([*SPECIALS, "<|im_", "end|>", "\n", "user", "{{ 1 }}", "\ue000", "x"]),
        max_size=8,
    ).map("".join),
    st.text(max_size=20),
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["user", "tool", "assistant"]), HOSTILE), min_size=1, max_size=4
    )
)
@settings(max_examples=150)
def test_contents_cannot_forge_markup(chat, tokenizer, turns):
    """Whatever messages say, special tokens in the prompt are those of the template's own turns."""
    messages = [{"role": role, "content": content} for role, content in turns]
    start, end = (tokenizer.special_tokens[t] for t in ("<|im_start|>", "<|im_end|>"))
    specials = [i for i in chat.encode(messages) if i in tokenizer.special_ids]
    assert specials == [start, end] * (len(messages) + 1) + [start]


def test_every_other_field_is_plain_text(chat, tokenizer):
    """Names of tools, arguments and variables are contents too."""
    end = "<|im_end|>"
    tools = [{"name": end, end: end}]
    calls = [{"function": {"name": end, "arguments": {end: end}}}]
    messages = [*user("x"), {"role": "assistant", "content": "", "tool_calls": calls}]
    rendered = chat.render(messages, tools=tools)
    assert sum(special for _, special in rendered.segments) == 7
    assert rendered.text.count(end) == 3 + 3 + 3
    assert tokenizer.encode_segments(rendered.segments) == chat.encode(messages, tools=tools)


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[0].content.replace('X', '') }}<|im_end|>",
        "{{ messages[0].content.split('X') | join }}<|im_end|>",
        "{{ messages[0].content | lower | replace('x', '') }}<|im_end|>",
        "{% set c = messages[0].content.split('X') %}{{ c[0] ~ c[1] }}{{ eos_token }}",
    ],
)
@pytest.mark.parametrize("joined", ["<|im_Xend|>", "<|IM_Xend|>"])
def test_templates_cannot_join_contents_to_markup(tokenizer, source, joined):
    """Parts that a template's own text operations join to a special token never become one."""
    ids = ChatTemplate(tokenizer, {"default": source}).encode(user(f"{joined} or <|im_end|>"))
    assert [i for i in ids if i in tokenizer.special_ids] == [tokenizer.eos_token_id]


def test_templates_that_build_tokens_of_parts(tokenizer):
    """Such a template is refused with the way out, and then acts as in transformers."""
    source = "{{ '<|im_' + 'start|>' + messages[0].content }}"
    with pytest.raises(TemplateError, match=r"'<\|im_start\|>' out of parts.*trust_contents=True"):
        ChatTemplate(tokenizer, {"default": source}).render(user("a"))
    trusting = ChatTemplate(tokenizer, {"default": source}, trust_contents=True)
    expected = (("<|im_start|>", True), ("a", False), ("<|im_end|>", True))
    assert trusting.render(user("a<|im_end|>")).segments == expected


def test_templates_that_take_tokens_apart(tokenizer):
    """A special token of the template must come out whole."""
    with pytest.raises(TemplateError, match="takes a special token apart"):
        ChatTemplate(tokenizer, {"default": "{{ '<|im_end|>'[1:] }}"}).render(user("a"))


def test_templates_for_tools(tokenizer):
    """The template named tool_use serves conversations with tools."""
    chat = ChatTemplate(tokenizer, {"default": "a", "tool_use": "b{{ tools | length }}"})
    assert (chat.render(user("x")).text, chat.render(user("x"), tools=TOOLS).text) == ("a", "b1")


def test_no_template(tokenizer, tmp_path):
    """A model without a template says so when asked to chat."""
    chat = ChatTemplate.from_directory(tmp_path, tokenizer)
    with pytest.raises(TemplateError, match="no chat template: pass a prompt"):
        chat.render(user("a"))


def test_parts_are_joined(chat):
    """A content in parts reads as its texts, one per line."""
    parts = [{"type": "text", "text": "a"}, "b", {"type": "input_text", "text": "c"}]
    assert chat.render(user(parts)).text == chat.render(user("a\nb\nc")).text


def test_arguments_in_json_are_not_quoted_twice(chat):
    """Tool-call arguments given as JSON text read as the object; malformed text stays text."""

    def render(arguments):
        calls = [{"function": {"name": "f", "arguments": arguments}}]
        return chat.render([*user("x"), {"role": "assistant", "tool_calls": calls}]).text

    assert render('{"b": 1, "a": "é"}') == render({"b": 1, "a": "é"})
    assert '"arguments": "{broken"}' in render("{broken")
    assert all('"arguments": {}}' in render(empty) for empty in ("", " \n", None, "{}", {}))


@pytest.mark.parametrize("hostile", ["[" * 100_000, "9" * 5000, "[" * 600 + "]" * 600])
def test_arguments_made_to_break_parsers_are_text(chat, hostile):
    """What no parser or template could take is malformed text like any other."""
    calls = [{"function": {"name": "f", "arguments": hostile}}]
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": calls}]
    text = chat.render(turns).text
    assert f'"arguments": "{hostile}"}}' in text


def test_the_callers_messages_are_left_alone(chat):
    """Rendering changes nothing that was passed in."""
    calls = [{"function": {"name": "f", "arguments": "{}"}}]
    messages = [*user(["a"]), {"role": "assistant", "content": "b", "tool_calls": calls}]
    before = json.dumps(messages)
    chat.render(messages, add_generation_prompt=False, continue_final_message=True)
    assert json.dumps(messages) == before


@pytest.mark.parametrize(
    ("messages", "options", "message"),
    [
        (["hello"], {}, r"messages\[0\] is 'hello': expected a mapping with a \"role\""),
        ([{"content": "x"}], {}, r"messages\[0\]"),
        ([{"role": "user", "content": 7}], {}, r"messages\[0\]\.content is 7"),
        (user([{"type": "image_url"}]), {}, r"messages\[0\]\.content is .*image_url"),
        (
            [*user("a"), {"role": "assistant", "tool_calls": ["f"]}],
            {},
            r"messages\[1\]\.tool_calls",
        ),
        (user("a"), {"tools": [object()]}, "tools is <object"),
        (user("a"), {"continue_final_message": True}, "add_generation_prompt is True"),
        ([], {"continue_final_message": True, "add_generation_prompt": False}, "messages is None"),
    ],
)
def test_bad_messages(chat, messages, options, message):
    """Messages of another shape are a request error that names the place."""
    with pytest.raises(InvalidRequestError, match=message):
        chat.render(messages, **options)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ raise_exception('no system role') }}", "no system role"),
        ("{{ messages[0].a.b }}", "undefined|has no attribute"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{% set ns = namespace(_x=1) %}", "private name '_x'"),
        ("{% set ns = namespace() %}{% set ns.__call__ = 1 %}", "private name '__call__'"),
    ],
)
def test_templates_that_fail(tokenizer, source, message):
    """Whatever a template does wrong comes out as a TemplateError."""
    with pytest.raises(TemplateError, match=message):
        ChatTemplate(tokenizer, {"default": source}).render(user("a"))


def test_templates_that_do_not_compile(tokenizer):
    """A syntax error is found when the template is loaded."""
    with pytest.raises(TemplateError, match="does not compile"):
        ChatTemplate(tokenizer, {"default": "{% for %}"})


def test_templates_that_hide_the_last_message(tokenizer):
    """A message that the template leaves out cannot be continued."""
    chat = ChatTemplate(tokenizer, {"default": "{{ messages[0].content }}"})
    messages = [*user("a"), *user("b")]
    with pytest.raises(TemplateError, match="does not show the last message"):
        chat.render(messages, add_generation_prompt=False, continue_final_message=True)
