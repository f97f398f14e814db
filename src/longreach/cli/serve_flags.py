"""The flags of `longreach serve`, in vLLM's spelling, with the names others know them by.

The table is all there is: the parser, the help and docs/serving.md are made of it.
"""

from __future__ import annotations

from pathlib import Path

from longreach.cli.cache_flags import CACHE_FLAGS
from longreach.cli.flags import Flag
from longreach.config import EngineConfig, SparsePolicy

_ENGINE, _POLICY = EngineConfig(), SparsePolicy()
_MODEL, _SPEED, _SERVER, _ACCESS, _KEPT, _SAME = (
    "Model",
    "Memory and speed",
    "Server",
    "Access",
    "Kept and bounded",
    "Accepted, changes nothing",
)

MODEL_FLAGS = (
    Flag(
        names=("--model", "-m", "-hf", "--checkpoint-path"),
        help="The same as MODEL.",
        panel=_MODEL,
    ),
    Flag(
        names=("--served-model-name", "--alias"),
        help="The name that requests use; several times: several names. Else MODEL.",
        many=True,
        panel=_MODEL,
    ),
    Flag(
        names=("--max-model-len", "--ctx-size", "-c"),
        help="Most tokens of a prompt with its answer: a number, 128K, 1M, or auto (what fits).",
        default="auto",
        metavar="TOKENS",
        panel=_MODEL,
    ),
    Flag(
        names=("--dtype",),
        help="auto, bfloat16, float32 or float16.",
        default=_ENGINE.dtype,
        panel=_MODEL,
    ),
    Flag(names=("--quantization", "-q"), help="int8: weight-only, for decode.", panel=_MODEL),
    Flag(
        names=("--kv-cache-dtype", "-ctk"),
        help="Of the cached keys and values: auto, bfloat16 or float32.",
        default=_ENGINE.kv_cache_dtype,
        panel=_MODEL,
    ),
    Flag(
        names=("--sparse",),
        help="How long prompts are read: adaptive, fixed, or off (dense).",
        default=_POLICY.mode,
        panel=_MODEL,
    ),
    Flag(
        names=("--sparse-recall",),
        help="Attention mass that adaptive keeps for every head.",
        type=float,
        default=_POLICY.recall,
        panel=_MODEL,
    ),
    Flag(
        names=("--chat-template",),
        help="A Jinja file instead of the model's own template.",
        type=Path,
        is_file=True,
        panel=_MODEL,
    ),
    Flag(
        names=("--default-chat-template-kwargs",),
        help="Variables of the template, as JSON; requests may change them.",
        metavar="JSON",
        panel=_MODEL,
    ),
    Flag(
        names=("--seed",),
        help="Seed of the requests that bring none. Else they are drawn anew.",
        type=int,
        panel=_MODEL,
    ),
)

SPEED_FLAGS = (
    Flag(
        names=("--max-num-seqs", "--parallel", "-np"),
        help="Requests that run at the same time.",
        type=int,
        default=_ENGINE.max_num_seqs,
        panel=_SPEED,
    ),
    Flag(
        names=("--max-num-batched-tokens", "-b"),
        help="Tokens of one step while several requests run: small is smooth, large is fast.",
        type=int,
        default=_ENGINE.max_num_batched_tokens,
        panel=_SPEED,
    ),
    Flag(
        names=("--max-inter-token-ms",),
        help="Aim for so long a step while answers are written, however long a prompt is being "
        "read: the less, the slower that goes. 0: no aim.",
        type=float,
        default=0.0,
        panel=_SPEED,
    ),
    Flag(
        names=("--num-speculative-tokens",),
        help="Tokens of a lone answer guessed from what stands before it, at most, and checked in "
        "one step; answers are the same. 0: none.",
        type=int,
        default=_ENGINE.num_speculative_tokens,
        panel=_SPEED,
    ),
    Flag(
        names=("--max-num-queued-reqs",),
        help="Requests that may wait; more get 503. Else no limit.",
        type=int,
        panel=_SPEED,
    ),
    Flag(
        names=("--max-num-queued-tokens",),
        help="Prompt tokens that may wait; more get 503. Else no limit.",
        type=int,
        panel=_SPEED,
    ),
    Flag(
        names=("--enable-prefix-caching/--no-enable-prefix-caching",),
        help="Keep what was read, for prompts that begin the same.",
        type=bool,
        default=_ENGINE.enable_prefix_caching,
        panel=_SPEED,
    ),
    Flag(
        names=("--block-size",),
        help="Tokens of a page of the cache.",
        type=int,
        default=_ENGINE.page_size,
        panel=_SPEED,
    ),
    Flag(
        names=("--device",),
        help="auto (a GPU where there is one), cpu or cuda.",
        default="auto",
        panel=_SPEED,
    ),
    Flag(
        names=("--cpu-only",),
        help="The same as --device cpu.",
        type=bool,
        default=False,
        panel=_SPEED,
    ),
)

SERVER_FLAGS = (
    Flag(names=("--host", "--server-name"), help="Address to listen on.", default="127.0.0.1"),
    Flag(
        names=("--port", "--server-port"),
        help="Port to listen on; 0 takes a free one.",
        type=int,
        default=8000,
    ),
    Flag(names=("--uds",), help="A unix socket instead of host and port.", metavar="PATH"),
    Flag(names=("--root-path",), help="Path that a proxy puts before ours.", default=""),
    Flag(names=("--ssl-keyfile",), help="TLS: the key.", type=Path, is_file=True),
    Flag(names=("--ssl-certfile",), help="TLS: the certificate.", type=Path, is_file=True),
    Flag(
        names=("--ssl-ca-certs",),
        help="TLS: whose certificates clients must have.",
        type=Path,
        is_file=True,
    ),
    Flag(
        names=("--sse-keep-alive-interval",),
        help="Seconds of silence after which a stream gets a ping; 0: never.",
        type=float,
        default=15.0,
    ),
    Flag(
        names=("--timeout-keep-alive",),
        help="Seconds that an idle connection stays open.",
        type=int,
        default=75,
    ),
    Flag(
        names=("--shutdown-timeout",),
        help="Seconds that running requests may take to end after SIGTERM.",
        type=float,
        default=60.0,
    ),
    Flag(
        names=("--uvicorn-log-level",),
        help="critical, error, warning, info or debug.",
        default="info",
    ),
    Flag(
        names=("--log-format",),
        help="text, or json: one object a line.",
        default="text",
    ),
    Flag(
        names=("--metrics-prefix",),
        help="Of the names at /metrics; vllm: makes its dashboards work as they are.",
        default="longreach_",
    ),
    Flag(
        names=("--disable-access-log-for-endpoints",),
        help="Paths without a line in the log, separated by commas.",
        default="",
        metavar="PATHS",
    ),
)

ACCESS_FLAGS = (
    Flag(
        names=("--api-key",),
        help="A key that opens the server; several times: several keys. Else it is open.",
        many=True,
        envvar="LONGREACH_API_KEY",
        panel=_ACCESS,
    ),
    Flag(
        names=("--api-key-file",),
        help="Keys in a file, one a line.",
        type=Path,
        is_file=True,
        panel=_ACCESS,
    ),
    Flag(
        names=("--max-prefill-tokens-per-minute",),
        help="Prompt tokens that each key may have read; more get 429. Else no limit.",
        type=int,
        panel=_ACCESS,
    ),
    Flag(
        names=("--allowed-origins",),
        help="Web pages that may call the server (CORS): origins, or *. Else none.",
        many=True,
        panel=_ACCESS,
    ),
)

STORAGE_FLAGS = (
    Flag(
        names=("--state-dir",),
        help="Where files, responses and batches are kept. Else beside the disk cache; without "
        "one they end with the server.",
        type=Path,
        panel=_KEPT,
    ),
    Flag(
        names=("--stored-ttl",),
        help="Seconds for which responses are kept.",
        type=float,
        default=30 * 24 * 3600.0,
        panel=_KEPT,
    ),
    Flag(
        names=("--max-body-bytes",),
        help="Of the JSON of a request; more gets 413.",
        type=int,
        default=64 * 2**20,
        panel=_KEPT,
    ),
    Flag(
        names=("--max-file-bytes",),
        help="Of an uploaded file; more gets 413.",
        type=int,
        default=512 * 2**20,
        panel=_KEPT,
    ),
    Flag(
        names=("--max-batch-concurrency",),
        help="Requests of batches that run at the same time.",
        type=int,
        default=8,
        panel=_KEPT,
    ),
)


def _no_op(*names: str, why: str, type: type = bool) -> Flag:
    default = False if type is bool else None
    return Flag(names=names, help=why, type=type, default=default, panel=_SAME, is_no_op=True)


NO_OPS = (
    _no_op("--enable-auto-tool-choice", why="Tools are always on."),
    _no_op("--tool-call-parser", why="The model's own format is always read.", type=str),
    _no_op("--reasoning-parser", why="Reasoning is always split off.", type=str),
    _no_op("--enable-chunked-prefill", why="Long prompts are always read in slices."),
    _no_op("--enable-request-id-headers", why="X-Request-Id is always sent."),
    _no_op("--enforce-eager", why="There are no captured graphs."),
    _no_op("--trust-remote-code", why="Code of a checkpoint is never run."),
    _no_op("--disable-gc", why="Memory is planned before it is used."),
)
"""What people paste from elsewhere, and what is so here anyway."""

SERVE_FLAGS = (
    *MODEL_FLAGS,
    *SPEED_FLAGS,
    *CACHE_FLAGS,
    *SERVER_FLAGS,
    *ACCESS_FLAGS,
    *STORAGE_FLAGS,
    *NO_OPS,
)
