"""`longreach serve`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longreach.cli.cache_flags import disk_cache_of
from longreach.cli.flags import read_config, with_flags
from longreach.cli.options import MODEL_HELP, Debug
from longreach.cli.serve_flags import SERVE_FLAGS
from longreach.errors import InvalidRequestError

if TYPE_CHECKING:
    from longreach.engine.protocol import AsyncTextEngine
    from longreach.serve.settings import ServerSettings

DEFAULT_MODEL = "needle"

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        callback=read_config,
        is_eager=True,
        exists=True,
        dir_okay=False,
        help="A YAML file of flags; the command line goes before it.",
    ),
]


@with_flags(SERVE_FLAGS)
def serve(
    model_argument: Annotated[
        str | None, typer.Argument(metavar="MODEL", show_default=False, help=MODEL_HELP)
    ] = None,
    config: Config = None,
    debug: Debug = False,
    **values: Any,
) -> None:
    """Serve a model to all that speaks OpenAI's API. Without MODEL: needle, which is shipped.

    The socket opens at once and answers 503 until the model is loaded (GET /ready).

    SIGTERM or Ctrl-C: running requests are finished, new ones refused; again: stop now.

    [bold]Examples[/bold]

      longreach serve

      longreach serve ./Qwen2.5-7B-Instruct-1M --max-model-len 1M --api-key secret

      longreach serve --config server.yaml --port 9000

      curl http://127.0.0.1:8000/v1/completions --json '{"prompt": "Once upon a time"}'
    """
    from longreach.models.registry import resolve_model
    from longreach.serve.logs import configure_logging
    from longreach.serve.run import run_server

    model, length = model_and_length(model_argument or values["model"], values["max_model_len"])
    folder = resolve_model(model)
    settings = server_settings(model, folder, values)
    configure_logging(settings.log_format, settings.uvicorn_log_level)
    run_server(settings, lambda: load_engine(model, length, values))


def load_engine(
    model: str, max_model_len: int | None, values: Mapping[str, Any]
) -> AsyncTextEngine:
    """The engine. Everything heavy is imported here, in the thread that loads."""
    from longreach.engine.async_engine import AsyncEngine
    from longreach.engine.llm import LLM
    from longreach.engine.waiting_room import QueueLimits
    from longreach.text import ChatTemplate

    limits = QueueLimits(
        max_num_queued_reqs=values["max_num_queued_reqs"],
        max_num_queued_tokens=values["max_num_queued_tokens"],
    )
    disk_cache = disk_cache_of(values) if "cache_dir" in values else None
    llm = LLM(model, disk_cache=disk_cache, **engine_options(values, max_model_len))
    path: Path | None = values["chat_template"]
    if path is None:
        template = llm.chat_template
    else:
        template = ChatTemplate(llm.tokenizer, {"default": path.read_text(encoding="utf-8")})
    return AsyncEngine(llm.engine, limits=limits, chat_template=template)


def model_and_length(model: str | None, length: str) -> tuple[str, int | None]:
    """The model, and the context's length (None: auto).

    -c is llama.cpp's context size and the Qwen demos' checkpoint path: what is no length is a path.
    """
    from longreach.evals.lengths import parse_length

    if length == "auto":
        return model or DEFAULT_MODEL, None
    if length[:1].isdigit():
        return model or DEFAULT_MODEL, parse_length(length, "max_model_len")
    if model is not None:
        raise InvalidRequestError("max_model_len", length, "a number of tokens, or auto")
    return length, None


def engine_options(values: Mapping[str, Any], max_model_len: int | None) -> dict[str, Any]:
    """What the flags say of the engine, by its own names."""
    names = (
        "dtype",
        "quantization",
        "kv_cache_dtype",
        "sparse",
        "sparse_recall",
        "seed",
        "max_num_seqs",
        "max_num_batched_tokens",
        "num_speculative_tokens",
        "enable_prefix_caching",
    )
    return {
        **{name: values[name] for name in names},
        "max_model_len": "auto" if max_model_len is None else max_model_len,
        "max_inter_token_ms": values["max_inter_token_ms"] or None,
        "page_size": values["block_size"],
        "device": "cpu" if values["cpu_only"] else values["device"],
    }


def server_settings(model: str, folder: Path, values: Mapping[str, Any]) -> ServerSettings:
    """What the flags say of the server. Raises InvalidRequestError."""
    from longreach.cli.defaults import sampling_defaults
    from longreach.serve.secret import server_secret
    from longreach.serve.settings import ServerSettings

    as_they_are = (
        "host",
        "port",
        "uds",
        "root_path",
        "ssl_keyfile",
        "ssl_certfile",
        "ssl_ca_certs",
        "sse_keep_alive_interval",
        "timeout_keep_alive",
        "shutdown_timeout",
        "uvicorn_log_level",
        "log_format",
        "metrics_prefix",
        "max_prefill_tokens_per_minute",
        "max_num_seqs",
        "stored_ttl",
        "max_body_bytes",
        "max_file_bytes",
        "max_batch_concurrency",
    )
    state_dir = state_dir_of(model, values)
    return ServerSettings(
        **{name: values[name] for name in as_they_are},
        state_dir=state_dir,
        # The salts of the keys name what is cached on disk, so they outlive the process as well.
        secret=server_secret(state_dir),
        served_model_names=tuple(values["served_model_name"]) or (model,),
        api_keys=api_keys(values["api_key"], values["api_key_file"]),
        allowed_origins=tuple(values["allowed_origins"]),
        disable_access_log_for_endpoints=_listed(values["disable_access_log_for_endpoints"]),
        default_chat_template_kwargs=_json_object(values["default_chat_template_kwargs"]),
        sampling_defaults=sampling_defaults(folder),
    )


def state_dir_of(model: str, values: Mapping[str, Any]) -> Path | None:
    """Where the server keeps files and the like: beside the disk cache; None without either."""
    from longreach.serve.state import usual_state_dir

    disk_cache = disk_cache_of(values)
    given: Path | None = values["state_dir"]
    if given is not None or disk_cache is None:
        return given
    return usual_state_dir(disk_cache.directory, model)


def api_keys(given: list[str], file: Path | None) -> tuple[str, ...]:
    """Keys of the flag (or its variable) and of the file; empty lines and # comments are none."""
    lines = file.read_text(encoding="utf-8").splitlines() if file is not None else []
    listed = [line.strip() for line in lines]
    return (*given, *(line for line in listed if line and not line.startswith("#")))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _json_object(text: str | None) -> dict[str, Any]:
    flag = "default_chat_template_kwargs"
    try:
        value = json.loads(text) if text else {}
    except json.JSONDecodeError as error:
        raise InvalidRequestError(flag, text, f"a JSON object ({error})") from error
    if not isinstance(value, dict):
        raise InvalidRequestError(flag, text, "a JSON object")
    return value
