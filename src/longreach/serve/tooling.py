"""What a body's tools mean: what the template shows, whether a call is forced or looked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from longreach.engine.structured import StructuredOutputs
from longreach.serve.errors import bad_request, echo
from longreach.serve.schema.chat import (
    ChatRequest,
    ConversationFields,
    NamedFunction,
    NamedTool,
)
from longreach.text import Tokenizer
from longreach.text.grammar import WHITESPACE
from longreach.text.tools.forced import forced_calls_grammar

Choice = Literal["none", "auto", "required"]


@dataclass(frozen=True, kw_only=True)
class ToolPlan:
    """tools: shown by the template, as the client wrote them. choice: None without tools.

    name: the one that has to be called. single: at most one call. legacy: asked for as `functions`
    and `function_call`, and answered so.
    """

    tools: Sequence[Mapping[str, Any]] = ()
    choice: Choice | None = None
    name: str | None = None
    single: bool = False
    legacy: bool = False

    @property
    def is_forced(self) -> bool:
        """Whether the answer must be a call."""
        return self.choice == "required"

    @property
    def reads_calls(self) -> bool:
        """Whether calls are looked for in the answer."""
        return self.choice in ("auto", "required")

    @property
    def stops_at_call(self) -> bool:
        """Whether the answer ends with its first call; a forced one ends by its grammar."""
        return self.single and self.choice == "auto"

    def forced_form(self, tokenizer: Tokenizer, *, after_reasoning: bool) -> StructuredOutputs:
        """The form of an answer that is nothing but calls. Raises InvalidRequestError."""
        grammar = forced_calls_grammar(
            self.tools,
            tokenizer,
            name=self.name,
            parallel=not self.single,
            after_reasoning=after_reasoning,
        )
        return StructuredOutputs(grammar=grammar)

    def either_form(
        self, form: StructuredOutputs, tokenizer: Tokenizer, field: str
    ) -> StructuredOutputs:
        """The form of an answer that is either JSON of `form`, or calls. field: who asked for it.

        Raises ApiError for a form that is not JSON, and as `forced_form` does.
        """
        kind, schema = form.source
        if kind != "json":
            raise bad_request(f"{field} with tools must be JSON; set tool_choice to none.", field)
        calls = self.forced_form(tokenizer, after_reasoning=False).grammar or ""
        rules = calls.replace("start:", "calls:", 1)
        return StructuredOutputs(grammar=f"start: calls | %json {_spaced(schema)}\n{rules}")


def _spaced(schema: str) -> str:
    """A schema within a grammar, with the bound on blanks that one has which stands alone."""
    try:
        given = json.loads(schema)
    except (ValueError, RecursionError):
        return schema  # whoever compiles it says what is wrong
    if not isinstance(given, dict):
        return schema
    return json.dumps({"x-guidance": {"whitespace_pattern": WHITESPACE}} | given)


def plan_tools(body: ChatRequest) -> ToolPlan:
    """The plan of a body. Raises ApiError 400 where its fields do not fit together."""
    if body.functions is not None or body.function_call is not None:
        return _legacy_plan(body)
    if body.tools is None:
        if body.tool_choice not in (None, "none"):
            raise bad_request("tool_choice needs tools.", "tool_choice")
        if body.parallel_tool_calls is False:
            raise bad_request("parallel_tool_calls needs tools.", "parallel_tool_calls")
        return ToolPlan()
    _check_tools(body.tools, "tools")
    choice, name = _choice(body.tool_choice)
    _check_name(name, body.tools, "tool_choice")
    single = body.parallel_tool_calls is False or name is not None
    return ToolPlan(tools=body.tools, choice=choice, name=name, single=single)


def shown_tools(body: ConversationFields) -> list[dict[str, Any]]:
    """The tools of a body that is only counted or shown."""
    if body.functions is not None:
        return [{"type": "function", "function": function} for function in body.functions]
    return body.tools or []


def _legacy_plan(body: ChatRequest) -> ToolPlan:
    """`functions` and `function_call`, from before there were tools: at most one call."""
    if body.tools is not None or body.tool_choice is not None:
        raise bad_request("functions and tools cannot be mixed.", "functions")
    if body.functions is None:
        raise bad_request("function_call needs functions.", "function_call")
    tools = shown_tools(body)
    _check_tools(tools, "functions")
    choice, name = _choice(body.function_call)
    _check_name(name, tools, "function_call")
    return ToolPlan(tools=tools, choice=choice, name=name, single=True, legacy=True)


def _choice(given: str | NamedTool | NamedFunction | None) -> tuple[Choice, str | None]:
    match given:
        case NamedTool():
            return "required", given.function.name
        case NamedFunction():
            return "required", given.name
        case "none" | "required":
            return given, None
    return "auto", None


def _check_tools(tools: Sequence[Mapping[str, Any]], field: str) -> None:
    if not tools:
        choice = "tool_choice" if field == "tools" else "function_call"
        raise bad_request(f"{field} is empty: leave it out, or name one at least.", choice)
    for index, tool in enumerate(tools):
        where = f"{field}[{index}]"
        if tool.get("type") != "function" or not isinstance(tool.get("function"), Mapping):
            expected = "{'type': 'function', 'function': {...}}"
            raise bad_request(f"{where} is {echo(tool)}: expected {expected}.", where)
        name = tool["function"].get("name")
        inside = f"{where}.function" if field == "tools" else where
        if not isinstance(name, str) or not name:
            raise bad_request(f"{inside}.name is {echo(name)}: expected a name.", f"{inside}.name")
        parameters = tool["function"].get("parameters")
        if not isinstance(parameters, Mapping | None):
            raise bad_request(f"{inside}.parameters: expected a schema.", f"{inside}.parameters")


def _check_name(name: str | None, tools: Sequence[Mapping[str, Any]], field: str) -> None:
    known = [tool["function"]["name"] for tool in tools]
    if name is not None and name not in known:
        raise bad_request(f"{field} names {echo(name)}, which is none of {echo(known)}.", field)
