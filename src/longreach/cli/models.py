"""`longreach list`, `longreach rm ID` and `longreach ps`."""

from __future__ import annotations

import json as json_text
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

from longreach.cli.options import Debug, Json
from longreach.cli.terminal import listing, print_json, show_bytes, stdout_console
from longreach.errors import LongreachError

TIMEOUT_S = 5.0
_AGES = (("day", 86_400), ("hour", 3600), ("minute", 60))


def list_models(json: Json = False, debug: Debug = False) -> None:
    """List the models on this disk, by the names that commands take.

    [bold]Examples[/bold]

      longreach list
    """
    from longreach.models.installed import installed_models

    models = installed_models()
    if json:
        print_json([asdict(model) | {"directory": str(model.directory)} for model in models])
        return
    table = listing("NAME", "SIZE", "MODIFIED", "FROM", folds=("NAME",))
    for model in models:
        age = show_age(time.time() - model.modified_s)
        table.add_row(model.name, show_bytes(model.size), age, model.place)
    stdout_console().print(table)


def remove(
    model: Annotated[str, typer.Argument(metavar="ID", help="owner/name, as `list` shows it.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    debug: Debug = False,
) -> None:
    """Delete a downloaded model from this disk.

    [bold]Examples[/bold]

      longreach rm Qwen/Qwen2.5-7B-Instruct-1M
    """
    from longreach.models.installed import find_installed, remove_model

    for found in find_installed(model):
        what = f"{found.directory} ({show_bytes(found.size)})"
        if not yes and not typer.confirm(f"delete {what}?"):
            continue
        remove_model(found)
        stdout_console().print(f"deleted {what}", markup=False, soft_wrap=True)


def show_running(
    base_url: Annotated[
        str, typer.Option("--base-url", help="The server, with or without /v1.")
    ] = ("http://127.0.0.1:8000/v1"),
    api_key: Annotated[
        str | None,
        typer.Option(
            "--api-key", envvar=["LONGREACH_API_KEY", "OPENAI_API_KEY"], help="Of the server."
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what a running server serves, and how many requests it works on.

    [bold]Examples[/bold]

      longreach ps --base-url http://gpu-box:8000/v1
    """
    root = base_url.rstrip("/").removesuffix("/v1")
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    models = _models(f"{root}/v1/models", headers)
    slots = _slots(f"{root}/slots", headers)
    if json:
        print_json({"models": models, "slots": slots})
        return
    table = listing("MODEL", "CONTEXT", "RUNNING", folds=("MODEL",))
    for model in models:
        context = model.get("max_model_len")
        table.add_row(model["id"], "-" if context is None else f"{context:,}", _busy(slots))
    stdout_console().print(table)


def show_age(seconds: float) -> str:
    """90000 -> "1 day ago"; under a minute is "now"."""
    for unit, length in _AGES:
        count = int(seconds // length)
        if count:
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "now"


def _models(url: str, headers: Mapping[str, str]) -> list[dict[str, Any]]:
    listed = _get(url, headers)
    if not isinstance(listed, Mapping) or not isinstance(listed.get("data"), list):
        raise LongreachError(f"{url} answered something that is no list of models")
    return listed["data"]


def _slots(url: str, headers: Mapping[str, str]) -> list[dict[str, Any]] | None:
    """What the server works on; None for a server that has no such route."""
    try:
        slots = _get(url, headers)
    except _RefusedError:
        return None
    return slots if isinstance(slots, list) else None


def _busy(slots: list[dict[str, Any]] | None) -> str:
    if slots is None:
        return "-"
    return f"{sum(bool(slot.get('is_processing')) for slot in slots)} of {len(slots)}"


class _RefusedError(LongreachError):
    """The server answered, but not with what was asked for."""


def _get(url: str, headers: Mapping[str, str]) -> Any:
    """JSON from a server. Raises LongreachError with what to do next."""
    if not url.startswith(("http://", "https://")):
        raise LongreachError(f"{url}: expected a URL that begins with http:// or https://")
    request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:  # noqa: S310
            return json_text.load(reply)
    except urllib.error.HTTPError as error:
        hint = ": give its key with --api-key" if error.code == 401 else ""
        raise _RefusedError(f"{url} answered {error.code}{hint}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise LongreachError(
            f"no server answers at {url} ({reason}): start one with `longreach serve`"
        ) from error
