"""The grammar of an output that must call tools: one call of a named tool, or one or more of any.

Calls are written as the chat template shows them in a history, to the space, so that a forced call
is found again in the prefix cache when the conversation goes on.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from longreach.errors import InvalidRequestError
from longreach.text.reasoning import CLOSE_THINK
from longreach.text.tokenizer import Tokenizer
from longreach.text.tools.scanner import CLOSE_TAG, OPEN_TAG

_LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_OPEN_SHAPES = frozenset(
    ("additionalProperties", "patternProperties", "$ref", "allOf", "anyOf", "oneOf", "if")
)
_ECHO = 200
_MESSAGE = 300


def forced_calls_grammar(
    tools: Sequence[Mapping[str, Any]],
    tokenizer: Tokenizer,
    *,
    name: str | None = None,
    parallel: bool = True,
    after_reasoning: bool = False,
) -> str:
    """A Lark grammar, as llguidance reads it, of outputs made of calls of `tools` alone.

    tools: functions as OpenAI's clients describe them. Arguments follow the schema in "parameters";
        one that only lists its properties allows no others, and a tool without one takes none.
    tokenizer: where a tag is one token of it, the grammar asks for that token.
    name: exactly one call, of this tool. None: of any, and one only where parallel is False.
    after_reasoning: the prompt has opened <think>, so the calls come after </think>.

    Raises InvalidRequestError naming tools[i]... for a tool or a schema that cannot be enforced,
    and tool_choice for a name that no tool has.
    """
    functions = [_function(tool, f"tools[{i}]") for i, tool in enumerate(tools)]
    schemas = [
        _schema(function.get("parameters"), f"tools[{i}].function.parameters")
        for i, function in enumerate(functions)
    ]
    bodies = {
        function["name"]: _body(function["name"], schema)
        for function, schema in zip(functions, schemas, strict=True)
    }
    wanted = list(bodies) if name is None else [name]
    if not wanted or wanted[0] not in bodies:
        raise InvalidRequestError("tool_choice", name, f"one of the tools: {list(bodies)}")
    more = ' ("\\n" call)*' if name is None and parallel else ""
    rules = [f"start: {'reasoning ' if after_reasoning else ''}call{more}"]
    rules += _reasoning(tokenizer) if after_reasoning else []
    open_tag, close_tag = _tag(OPEN_TAG, tokenizer), _tag(CLOSE_TAG, tokenizer)
    rules.append(f'call: {open_tag} "\\n" body "\\n" {close_tag}')
    rules.append("body: " + " | ".join(f"body_{i}" for i in range(len(wanted))))
    rules += [f"body_{i}: {bodies[tool]}" for i, tool in enumerate(wanted)]
    return "\n".join(rules) + "\n"


def _function(tool: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    function = tool.get("function")
    if tool.get("type", "function") != "function" or not isinstance(function, Mapping):
        raise InvalidRequestError(field, _short(tool), 'a tool of the type "function"')
    if not isinstance(function.get("name"), str) or not function["name"]:
        raise InvalidRequestError(f"{field}.function.name", function.get("name"), "a name")
    return function


def _schema(parameters: object, field: str) -> str:
    """The schema that arguments are held to, as JSON."""
    if not isinstance(parameters, Mapping | None):
        raise InvalidRequestError(field, _short(parameters), "a JSON schema")
    schema = {"type": "object", **(parameters or {})}
    if schema["type"] != "object":
        raise InvalidRequestError(field, _short(parameters), 'a JSON schema of the type "object"')
    if not _OPEN_SHAPES & schema.keys():
        schema["additionalProperties"] = False
    try:
        text = json.dumps(schema | {"x-guidance": _LAYOUT}, ensure_ascii=False)
        text.encode()
        complaint = _complaint(text)
    except (TypeError, ValueError, RecursionError) as error:
        complaint = str(error)
    if complaint:
        expected = f"a JSON schema that can be enforced ({_short(complaint, _MESSAGE)})"
        raise InvalidRequestError(field, _short(parameters), expected)
    return text


@functools.lru_cache(maxsize=256)
def _complaint(schema: str) -> str:
    """Why llguidance cannot enforce a schema, "" when it can. Compiling may take a while."""
    try:
        from llguidance import LLMatcher
    except ImportError:
        return ""  # the engine refuses every grammar then, and says what to install
    is_error, messages = LLMatcher.validate_grammar_with_warnings(
        LLMatcher.grammar_from_json_schema(schema)
    )
    return " ".join(messages) if is_error else ""


def _body(name: str, schema: str) -> str:
    head = f'{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": '
    return f'{_literal(head)} %json {schema} "}}"'


def _tag(tag: str, tokenizer: Tokenizer) -> str:
    token_id = tokenizer.token_to_id(tag)
    return _literal(tag) if token_id is None else f"<[{token_id}]>"


def _reasoning(tokenizer: Tokenizer) -> list[str]:
    """Any text up to the tag that ends it, and the blank line that the model is used to."""
    close = _tag(CLOSE_THINK, tokenizer)
    if close.startswith("<"):
        return [f'reasoning: /(.|\\n)*/ {close} "\\n\\n"']
    return ['reasoning: thought "\\n\\n"', f"thought[lazy]: /(.|\\n)*/ {close}"]


def _literal(text: str) -> str:
    """A string as Lark has it: JSON's, but DEL has to be escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _short(value: object, length: int = _ECHO) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= length else text[: length - 1] + "…"
