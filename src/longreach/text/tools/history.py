"""OpenAI's chat messages as chat templates expect them.

Clients send what the wire has: arguments as JSON text, developer messages, and the older form of
tools (`function_call`, role "function"). Templates know system, user, assistant and tool messages,
and apply `tojson` to arguments, which would quote a text once more. Content parts are left to
`ChatTemplate`, which joins them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from longreach.errors import InvalidRequestError

Message = Mapping[str, Any]

_ROLES = {"developer": "system", "function": "tool"}
_OBJECT = "the JSON text of an object"
_ECHO = 200


def template_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The same conversation in the words of chat templates; the messages given stay as they are.

    The order of keys in arguments is kept, because templates write them in that order, and the
    prefix cache finds a conversation again by its text.

    Raises InvalidRequestError naming the field, such as
    messages[2].tool_calls[0].function.arguments where that is not the JSON text of an object.
    """
    return [_message(message, f"messages[{i}]") for i, message in enumerate(messages)]


def _message(message: Message, field: str) -> dict[str, Any]:
    plain = dict(message)
    role = plain.get("role")
    if isinstance(role, str):
        plain["role"] = _ROLES.get(role, role)
    calls = plain.get("tool_calls")
    if calls:
        plain["tool_calls"] = _calls(calls, f"{field}.tool_calls")
    if plain.get("function_call") is not None:
        where = f"{field}.function_call"
        if calls:
            _refuse(where, plain["function_call"], "nothing beside tool_calls")
        call = {"type": "function", "function": _function(plain["function_call"], where)}
        plain["tool_calls"] = [call]
    plain.pop("function_call", None)
    if plain.get("role") == "tool" and plain.get("content") is None:
        plain["content"] = ""
    return plain


def _calls(calls: object, field: str) -> list[dict[str, Any]]:
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        _refuse(field, calls, "a list of tool calls")
    return [_call(call, f"{field}[{j}]") for j, call in enumerate(calls)]


def _call(call: object, field: str) -> dict[str, Any]:
    if not isinstance(call, Mapping) or call.get("type", "function") != "function":
        _refuse(field, call, 'a tool call of the type "function"')
    return {**call, "function": _function(call.get("function"), f"{field}.function")}


def _function(function: object, field: str) -> dict[str, Any]:
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        _refuse(field, function, 'a mapping with a "name" and "arguments"')
    arguments = _arguments(function.get("arguments"), f"{field}.arguments")
    return {**function, "arguments": arguments}


def _arguments(arguments: object, field: str) -> Mapping[str, Any]:
    """Arguments as an object. None and empty text, which clients send for none at all, are {}."""
    if isinstance(arguments, Mapping):
        return arguments
    if arguments is None or (isinstance(arguments, str) and not arguments.strip()):
        return {}
    if not isinstance(arguments, str):
        _refuse(field, arguments, _OBJECT)
    try:
        parsed = json.loads(arguments, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        _refuse(field, arguments, f"{_OBJECT} ({error})")
    if not isinstance(parsed, dict):
        _refuse(field, arguments, _OBJECT)
    return parsed


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _refuse(field: str, value: object, expected: str) -> NoReturn:
    text = value if isinstance(value, str) else repr(value)
    raise InvalidRequestError(field, text[:_ECHO], expected)
