"""A Jinja sandbox with limits for chat templates, with what transformers' templates use.

Templates come with checkpoints, so they are code of strangers. Jinja's immutable sandbox keeps
them from Python's internals; a `Budget` keeps them from burning time and memory: every loop turn
and macro call is counted and timed, and every operation that can multiply text (+, ~, *, %, join,
replace, padding) states the size of its result beforehand.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

_REMOVED_FILTERS = ("urlize", "random", "xmlattr", "wordwrap")  # slow, or not repeatable
_WIDE = re.compile(
    r"%[-#0 +\d.]*(\d{5}|\*)|\{[^{}]*:[^{}]*(\d{5}|\{)"
)  # 10000 columns, or computed


@dataclass(kw_only=True)
class Budget:
    """What one rendering may use.

    chars: the longest single text; all texts made by growing operations together may have 32 times
    as many.
    steps: loop turns and macro calls. seconds: wall time.
    """

    chars: int
    steps: int = 1_000_000
    seconds: float = 10.0
    _grown: int = field(default=0, init=False)
    _started: float = field(default_factory=time.monotonic, init=False)

    def step(self) -> None:
        """Count one loop turn or macro call. Raises SecurityError when none or no time is left."""
        self.steps -= 1
        if self.steps < 0:
            raise SecurityError("too many loop turns")
        if time.monotonic() - self._started > self.seconds:
            raise SecurityError(f"took more than {self.seconds} s")

    def grow(self, num_chars: int) -> None:
        """Count a text (or list) of so many items that is about to be made."""
        self._grown += num_chars
        if num_chars > self.chars or self._grown > 32 * self.chars:
            raise SecurityError(f"makes more text than {self.chars} characters")


_budget: ContextVar[Budget] = ContextVar("budget")


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox. Templates are compiled by `compile_template` and run by `run`, which counts."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
        )
        self.globals = {
            "range": self.globals["range"],
            "cycler": self.globals["cycler"],
            "joiner": self.globals["joiner"],
            "namespace": _Namespace,
            "dict": lambda **entries: entries,
            "raise_exception": _raise_exception,
            "strftime_now": _strftime_now,
        }
        self.filters["tojson"] = _to_json
        for name in _REMOVED_FILTERS:
            del self.filters[name]
        for name in ("center", "format", "indent", "join", "replace"):
            self.filters[name] = _counted_filter(name, self.filters[name])

    def compile_template(self, source: str, change: Callable[[str], str]) -> jinja2.Template:
        """Compile `source`, its literal texts passed through `change`, with counters put in."""
        tree = _Instrument(change).visit(self.parse(source))
        code = self.compile(tree)
        return self.template_class.from_code(self, code, self.make_globals(None), None)

    def run(self, template: jinja2.Template, budget: Budget, variables: Mapping[str, Any]) -> str:
        """The rendered text; raises jinja2.TemplateError and whatever the template provokes."""
        token = _budget.set(budget)
        try:
            return "".join(_measured(template.generate(dict(variables)), budget))
        finally:
            _budget.reset(token)

    def count_step(self) -> None:
        """Called at the head of every loop turn and macro."""
        _budget.get().step()

    def concat(self, parts: Iterable[str]) -> str:
        """What the compiled code calls to end a macro or a `{% set %}` block."""
        texts = list(parts)
        _budget.get().grow(sum(map(len, texts)))
        return "".join(texts)

    def concatenate(self, *parts: object) -> str:
        """The operator `~`."""
        return self.concat(map(str, parts))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic, refused where the result would be huge."""
        if operator == "**" and not (abs(left) <= 2**32 and abs(right) <= 64):
            raise SecurityError("a power that is too large")
        _budget.get().grow(_size_of_binop(operator, left, right))
        return super().call_binop(context, operator, left, right)

    def call(self, context: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        """A call, refused where a method of a text would make a huge one."""
        method = getattr(function, "__wrapped__", function)  # the sandbox wraps str.format
        owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        if isinstance(owner, str):
            _budget.get().grow(_size_of_method(name, owner, [*args, *kwargs.values()]))
        return super().call(context, function, *args, **kwargs)


class _Instrument(NodeTransformer):
    """Puts counters into loops and macros, checks `~`, passes literals through `change`."""

    def __init__(self, change: Callable[[str], str]) -> None:
        self._change = change

    def visit_TemplateData(self, node: nodes.TemplateData) -> nodes.Node:
        node.data = self._change(node.data)
        return node

    def visit_Const(self, node: nodes.Const) -> nodes.Node:
        if isinstance(node.value, str):
            node.value = self._change(node.value)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _call("concatenate", node.nodes, node.lineno)

    def visit_For(self, node: nodes.For) -> nodes.Node:
        return self._counted(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        return self._counted(node)

    def _counted(self, node: nodes.For | nodes.Macro) -> nodes.Node:
        self.generic_visit(node)
        call = _call("count_step", [], node.lineno)
        node.body.insert(0, nodes.ExprStmt(call, lineno=node.lineno))
        return node


class _GenerationTag(Extension):
    """`{% generation %}` marks what to train on; here its body is rendered as it is."""

    tags = {"generation"}  # noqa: RUF012  # Jinja's own declaration is a plain set

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class _Namespace(Namespace):
    """Jinja's namespace without private names, as transformers has it."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # `self` may be one of the names
        attributes = dict(*args[1:], **kwargs)
        for name in attributes:
            _refuse_private(name)
        Namespace.__init__(args[0], attributes)

    def __setitem__(self, name: str, value: object) -> None:
        _refuse_private(name)
        super().__setitem__(name, value)


def _refuse_private(name: object) -> None:
    if str(name).startswith("_"):
        raise SecurityError(f"the private name {name!r} on a namespace")


def _call(method: str, args: list[nodes.Expr], line: int) -> nodes.Call:
    """A call of a method of the environment; no template can redefine it."""
    return nodes.Call(nodes.EnvironmentAttribute(method), args, [], None, None, lineno=line)


def _measured(parts: Iterator[str], budget: Budget) -> Iterator[str]:
    size = 0
    for part in parts:
        size += len(part)
        if size > budget.chars:
            raise SecurityError(f"renders to more than {budget.chars} characters")
        yield part


def _counted_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter `name`, its result's size counted before it is made."""
    skip = 1 if hasattr(function, "jinja_pass_arg") else 0  # a context or environment comes first

    def counted(*args: Any, **kwargs: Any) -> Any:
        owner, *rest = args[skip:]
        values = [*rest, *kwargs.values()]
        if name == "join":
            separator = str(values[0]) if values else ""
            items = owner = list(owner)
            size = _size_of_method("join", separator, [items])
            args = (*args[:skip], items, *rest)
        else:
            size = _size_of_method(name, str(owner), values)
        _budget.get().grow(size)
        return function(*args, **kwargs)

    counted.__dict__ |= getattr(function, "__dict__", {})
    return counted


def _size_of_binop(operator: str, left: Any, right: Any) -> int:
    match operator:
        case "+" if not isinstance(left, int | float):
            return _size(left) + _size(right)
        case "*" if isinstance(right, int):
            return _size(left) * abs(right)
        case "*" if isinstance(left, int):
            return _size(right) * abs(left)
        case "%" if isinstance(left, str):
            values = list(right) if isinstance(right, tuple) else [right]
            return _size_of_method("format", left, values)
    return 0


def _size_of_method(name: str, owner: str, args: Sequence[Any]) -> int:
    """An upper bound of the characters a growing text method makes; 0 for other methods."""
    match name:
        case "replace" if len(args) >= 2:
            old, new = str(args[0]), str(args[1])
            return len(owner) + owner.count(old) * len(new)
        case "join":
            items = list(args[0]) if args and isinstance(args[0], list | tuple | str) else []
            return sum(len(str(item)) + len(owner) for item in items)
        case "ljust" | "rjust" | "center" | "zfill":
            return len(owner) + max((abs(a) for a in args if isinstance(a, int)), default=80)
        case "indent":
            width = max((_size(a) if isinstance(a, str) else abs(a) for a in args[:1]), default=4)
            return len(owner) + (owner.count("\n") + 1) * width
        case "expandtabs":
            return len(owner) + owner.count("\t") * max((abs(a) for a in args), default=8)
        case "format" | "format_map":
            return _size_of_format(owner, args)
    return 0


def _size_of_format(pattern: str, args: Sequence[Any]) -> int:
    if _WIDE.search(pattern):
        raise SecurityError("a format width that is too large or computed")
    largest = max((len(str(arg)) for arg in args), default=0)
    return len(pattern) + (pattern.count("{") + pattern.count("%")) * (largest + 10_000)


def _size(value: object) -> int:
    return len(value) if isinstance(value, str | bytes | list | tuple) else 0


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)  # noqa: DTZ005  # a template asks for the local date


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as transformers' filter writes it: no HTML escapes, keys in their own order."""
    if indent is not None and not 0 <= int(indent) <= 16:
        raise SecurityError("tojson: indent is not in [0, 16]")
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
