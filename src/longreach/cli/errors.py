"""What a user sees when a command cannot do what was asked: one line, and an exit code.

0 done, 1 nobody reads the output any more, 2 something asked for cannot be done, 130 stopped with
Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from longreach.cli.terminal import stderr_console
from longreach.errors import InvalidRequestError, LongreachError

EXIT_UNREAD = 1
EXIT_CANNOT = 2
EXIT_STOPPED = 130

_COMMAND = "longreach.command"
_CALLED = {
    "page_size": "block_size",
    "api_keys": "api_key",
    "served_model_names": "served_model_name",
}
"""Settings whose flags have names of their own."""


class Commands(TyperGroup):
    """A command group that turns errors and Ctrl-C into a line and an exit code."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that was named; its flags are what errors speak of."""
        found = super().resolve_command(ctx, args)
        ctx.meta[_COMMAND] = found[1]
        return found

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            drop_output()
            raise typer.Exit(EXIT_UNREAD) from None
        except KeyboardInterrupt:
            stderr_console().print("\nstopped")
            raise typer.Exit(EXIT_STOPPED) from None
        except (LongreachError, OSError) as error:
            if wants_traceback(ctx):
                raise
            say_error(in_flags(error, ctx.meta.get(_COMMAND)))
            raise typer.Exit(EXIT_CANNOT) from error
        return result


def drop_output() -> None:
    """What is still to be written goes nowhere: `| head` has seen enough, which is no error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def wants_traceback(ctx: typer.Context) -> bool:
    """Whether --debug was given to any command of this call."""
    return bool(ctx.find_root().meta.get("longreach.debug"))


def remember_debug(ctx: typer.Context, value: bool) -> bool:
    """Callback of --debug: noted where `Commands.invoke` finds it."""
    if value:
        ctx.find_root().meta["longreach.debug"] = True
    return value


def in_flags(error: Exception, command: Any) -> Exception:
    """The error in the words of whoever typed the command: a field is named as its flag."""
    if not isinstance(error, InvalidRequestError):
        return error
    name = error.field.replace("-", "_")
    name = _CALLED.get(name, name)
    for parameter in getattr(command, "params", ()):
        flags = [flag for flag in parameter.opts if flag.startswith("--")]
        if parameter.name == name and flags:
            if error.value is None:
                return LongreachError(f"{flags[0]} is missing: expected {error.expected}")
            return InvalidRequestError(flags[0], error.value, error.expected)
    return error


def say_error(error: BaseException) -> None:
    """One line on stderr, without markup or wrapping surprises."""
    text = " ".join(str(error).split()) or type(error).__name__
    stderr_console().print(f"error: {text}", markup=False, soft_wrap=True, style="red")
