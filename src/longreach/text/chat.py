"""Chat messages to token ids by the model's own template; contents cannot forge markup.

A chat template writes special tokens ("<|im_start|>user ...") as text, and a user may write the
same text. To keep the two apart, special tokens are marked at their origin: when the template is
compiled, each one in its *literals* (and in its variables bos_token, eos_token ...) is replaced by
a placeholder with a random key that no message can know. After rendering, placeholders are special
tokens, and all other text is plain, however messages were joined, trimmed or replaced by the
template. Ordinary messages render byte for byte as in transformers.

Added tokens that are not special ("<tool_call>", "<think>") are text to both sides and keep their
own ids everywhere, as a model's output reads when it comes back as history.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from longreach.errors import InvalidRequestError, TemplateError
from longreach.text.files import read_chat_templates
from longreach.text.nesting import MAX_NESTING, is_too_deep
from longreach.text.sandbox import Budget, ChatEnvironment
from longreach.text.tokenizer import Tokenizer

Message = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class RenderedChat:
    """A rendered conversation as (text, is_special) segments.

    A special segment is one special token, written by the template.
    """

    segments: tuple[tuple[str, bool], ...]

    @property
    def text(self) -> str:
        """The text that transformers' apply_chat_template(tokenize=False) gives."""
        return "".join(text for text, _ in self.segments)


class ChatTemplate:
    """The chat templates of one model.

    templates: name -> Jinja source (kept as `sources`); "default", and "tool_use" for conversations
        with tools where there is one.
    trust_contents: special tokens in messages act as markup, as in transformers. Only for templates
        that build special tokens out of parts, and for messages that are one's own.
    """

    def __init__(
        self, tokenizer: Tokenizer, templates: Mapping[str, str], *, trust_contents: bool = False
    ) -> None:
        self._tokenizer = tokenizer
        self.sources = dict(templates)
        self._trust_contents = trust_contents
        self._key = secrets.token_hex(8)
        self._tokens = sorted(tokenizer.special_tokens, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, self._tokens)) or r"(?!)")
        self._placeholder = re.compile(f"\ue000{self._key}:(\\d+)\ue001")
        self._environment = ChatEnvironment()
        self._templates = {name: self._compile(source) for name, source in templates.items()}
        self._variables = {
            name: self._mark(token) for name, token in tokenizer.special_names.items()
        }

    @classmethod
    def from_directory(
        cls, directory: str | Path, tokenizer: Tokenizer, *, trust_contents: bool = False
    ) -> ChatTemplate:
        """The chat templates of a Hugging Face model directory; there may be none."""
        templates = read_chat_templates(Path(directory))
        return cls(tokenizer, templates, trust_contents=trust_contents)

    def encode(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        **variables: Any,  # a template may take anything
    ) -> list[int]:
        """Token ids of a conversation; see `render`."""
        rendered = self.render(
            messages,
            tools=tools,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            **variables,
        )
        return self._tokenizer.encode_segments(rendered.segments)

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        **variables: Any,
    ) -> RenderedChat:
        """Render a conversation.

        messages: mappings with "role"; "content" is text, None, or a list of text parts (joined by
            newlines).
        tools: JSON schemas of functions.
        continue_final_message: leave the last message open, to be continued.
        variables: more variables of the template ("enable_thinking"); their text is plain.
        Raises InvalidRequestError for messages of another shape, TemplateError when the template
        refuses or fails.
        """
        if add_generation_prompt and continue_final_message:
            expected = "False together with continue_final_message"
            raise InvalidRequestError("add_generation_prompt", True, expected)
        _check_tools(tools)
        plain = [_normalise(message, f"messages[{i}]") for i, message in enumerate(messages)]
        tag = f"\ue000{self._key}:end\ue001 "
        if continue_final_message:
            plain = _with_tag(plain, tag)
        given = {"messages": plain, "tools": _plain(tools, "tools"), "documents": None}
        given |= {name: _plain(value, name) for name, value in variables.items()}
        flags = {"add_generation_prompt": add_generation_prompt}
        text = self._run(self._choose(tools), {**self._variables, **given, **flags})
        if continue_final_message:
            text = _cut_at_tag(text, tag)
        return RenderedChat(segments=self._segments(text, given))

    def _choose(self, tools: Sequence[Mapping[str, Any]] | None) -> jinja2.Template:
        name = "tool_use" if tools and "tool_use" in self._templates else "default"
        if name not in self._templates:
            raise TemplateError(
                "this model has no chat template: pass a prompt instead of messages"
            )
        return self._templates[name]

    def _compile(self, source: str) -> jinja2.Template:
        try:
            return self._environment.compile_template(source, self._mark)
        except Exception as error:  # Python's own compiler refuses what nests too deep
            raise TemplateError(f"the chat template does not compile: {error}") from error

    def _mark(self, literal: str) -> str:
        return self._special.sub(
            lambda match: f"\ue000{self._key}:{self._tokens.index(match.group())}\ue001", literal
        )

    def _run(self, template: jinja2.Template, variables: Mapping[str, Any]) -> str:
        budget = Budget(chars=2**20 + 8 * _count_chars(variables))
        try:
            return self._environment.run(template, budget, variables)
        except Exception as error:  # a template is a program: it may raise whatever Python does
            raise TemplateError(f"the chat template failed: {error}") from error

    def _segments(self, text: str, given: Mapping[str, Any]) -> tuple[tuple[str, bool], ...]:
        fields = self._placeholder.split(text)
        segments = [
            (self._tokens[int(part)], True) if index % 2 else (part, False)
            for index, part in enumerate(fields)
            if part
        ]
        if any(self._key in part for part, is_special in segments if not is_special):
            raise TemplateError("the chat template takes a special token apart")
        if self._trust_contents:
            return tuple(self._recognise("".join(part for part, _ in segments)))
        self._refuse_built_tokens(segments, given)
        return tuple(segments)

    def _recognise(self, text: str) -> list[tuple[str, bool]]:
        parts = re.split(f"({self._special.pattern})", text)
        return [(part, index % 2 == 1) for index, part in enumerate(parts) if part]

    def _refuse_built_tokens(
        self, segments: Sequence[tuple[str, bool]], given: Mapping[str, Any]
    ) -> None:
        """A special token that nobody wrote whole was built of parts and would be plain text."""
        for part, is_special in segments:
            for token in () if is_special else set(self._special.findall(part)):
                if not _holds(given, token):
                    raise TemplateError(
                        f"the chat template builds the special token {token!r} out of parts, so "
                        "contents cannot be told from markup; load it with trust_contents=True "
                        "if all messages are your own"
                    )


def _check_tools(tools: Any) -> None:
    expected = "a list of mappings, one per function"
    if not isinstance(tools, Sequence | None) or isinstance(tools, str):
        raise InvalidRequestError("tools", tools, expected)
    for tool in tools or ():
        if not isinstance(tool, Mapping):
            raise InvalidRequestError("tools", tool, expected)


def _normalise(message: object, name: str) -> dict[str, Any]:
    """A message as templates expect it: plain data, text content, tool arguments as objects."""
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise InvalidRequestError(name, message, 'a mapping with a "role" that is text')
    plain = _plain(message, name)
    if isinstance(plain.get("content"), list):
        plain["content"] = "\n".join(_text_of(part, name) for part in plain["content"])
    elif not isinstance(plain.get("content"), str | None):
        raise InvalidRequestError(f"{name}.content", plain["content"], "text or a list of parts")
    calls = plain.get("tool_calls") or []
    if not isinstance(calls, list):
        raise InvalidRequestError(f"{name}.tool_calls", calls, "a list of mappings")
    for call in calls:
        _parse_arguments(call, name)
    return plain


def _text_of(part: object, name: str) -> str:
    match part:
        case str():
            return part
        case {"type": "text" | "input_text" | "output_text", "text": str(text)}:
            return text
    raise InvalidRequestError(
        f"{name}.content", part, 'parts of the form {"type": "text", "text": ...}'
    )


def _parse_arguments(call: object, name: str) -> None:
    """Clients send arguments as JSON text; templates apply `tojson`, which would quote it again.

    No text at all, which some clients send for a call without arguments, is an empty object. Text
    that is no JSON (a model's own malformed call, now history), or nested too deep for templates,
    stays as it is.
    """
    if not isinstance(call, dict):
        raise InvalidRequestError(f"{name}.tool_calls", call, "mappings")
    function = call.get("function", call)
    if isinstance(function, dict) and isinstance(function.get("arguments", function), str | None):
        function["arguments"] = _read_arguments(function["arguments"] or "")


def _read_arguments(text: str) -> Any:
    try:
        arguments = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        return text
    return text if is_too_deep(arguments) else arguments


def _plain(value: object, name: str, depth: int = 0) -> Any:
    """A copy made of JSON's own types: templates get no object with methods of its own."""
    match value:
        case None | bool():
            return value
        case str():
            return str.__str__(value)
        case int():
            return int(value)
        case float():
            return float(value)
        case Mapping() | list() | tuple() if depth > MAX_NESTING:
            raise InvalidRequestError(name, value, "fewer lists and objects in each other")
        case Mapping():
            return {str(key): _plain(item, name, depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item, name, depth + 1) for item in value]
    raise InvalidRequestError(name, value, "text, numbers, lists and mappings, as JSON has")


def _with_tag(messages: list[dict[str, Any]], tag: str) -> list[dict[str, Any]]:
    if not messages or not isinstance(messages[-1].get("content"), str):
        last = messages[-1] if messages else None
        raise InvalidRequestError("messages", last, "a last message with text to be continued")
    last = {**messages[-1], "content": messages[-1]["content"] + tag}
    return [*messages[:-1], last]


def _cut_at_tag(text: str, tag: str) -> str:
    """The text up to the tag, trimmed where the template trimmed the tag's own space."""
    at = text.rfind(tag.strip())
    if at < 0:
        raise TemplateError("the chat template does not show the last message, so it cannot go on")
    return text[:at] if text[at:].startswith(tag) else text[:at].rstrip()


def _count_chars(value: object) -> int:
    match value:
        case str():
            return len(value)
        case dict():
            return sum(_count_chars(item) + len(key) for key, item in value.items())
        case list():
            return sum(map(_count_chars, value)) + 16 * len(value)
    return 16


def _holds(value: object, token: str) -> bool:
    match value:
        case str():
            return token in value
        case dict():
            return any(token in key or _holds(item, token) for key, item in value.items())
        case list():
            return any(_holds(item, token) for item in value)
    return False
