"""Commands whose flags are a table: one place that the parser, the help and the docs read."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from longreach.errors import InvalidRequestError


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One option. names: its spellings, the first gives it its name in Python.

    type: of one value; is_file: of a file that has to be there; many: it may be given several
    times. default None: the help says what then happens. is_no_op: accepted for those who bring it
    from elsewhere, and changes nothing.
    """

    names: tuple[str, ...]
    help: str
    type: Any = str
    default: Any = None
    many: bool = False
    panel: str = "Server"
    metavar: str | None = None
    envvar: str | None = None
    is_file: bool = False
    is_no_op: bool = False

    @property
    def name(self) -> str:
        """Of the parameter, and of the key in a config file."""
        return self.names[0].partition("/")[0].lstrip("-").replace("-", "_")

    def parameter(self) -> inspect.Parameter:
        """The option as typer reads it."""
        option = typer.Option(
            [] if self.many else self.default,
            *self.names,
            help=self.help,
            rich_help_panel=self.panel,
            metavar=self.metavar,
            exists=self.is_file,
            dir_okay=not self.is_file,
            envvar=self.envvar,
            show_envvar=True,
            show_default=self.default is not None and not self.is_no_op,
        )
        annotation: Any = self.type
        if self.many:
            annotation = list[annotation]
        elif self.default is None:
            annotation = annotation | None
        kind = inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(self.name, kind, default=option, annotation=annotation)


def with_flags(flags: Sequence[Flag]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the flags of a table; it takes them as **values."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        parameters = [*own, *(flag.parameter() for flag in flags)]

        def run(**values: Any) -> None:
            command(**values)

        run.__doc__ = command.__doc__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def read_config(ctx: typer.Context, path: Path | None) -> Path | None:
    """Callback of an eager --config: a YAML file gives what the command line does not.

    Its keys are flags, with dashes or underscores. Raises InvalidRequestError naming a bad one.
    """
    if path is None:
        return None
    known = {parameter.name for parameter in ctx.command.params} - {"config"}
    values = {}
    for key, value in _read_yaml(path).items():
        name = key.lstrip("-").replace("-", "_")
        if name not in known:
            raise InvalidRequestError("config", key, f"keys that are flags ({path})")
        values[name] = value
    ctx.default_map = {**(ctx.default_map or {}), **values}
    return path


def _read_yaml(path: Path) -> dict[str, Any]:
    """Values as text, as a command line has them (`off` is no boolean), mappings as JSON."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        typed = yaml.safe_load(text) or {}
        plain = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - makes text, lists, mappings
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidRequestError("config", str(path), f"a YAML file ({error})") from error
    if not isinstance(typed, dict):
        raise InvalidRequestError("config", str(path), "a YAML file of `flag: value` lines")
    return {
        key: json.dumps(typed[key]) if isinstance(value, dict) else value
        for key, value in (plain.items() if typed else ())
        if typed.get(key) is not None
    }
