"""The loop every engine under test runs: read a JSON line, measure, answer a JSON line.

Runs in the peer's own environment, so it imports nothing but the standard library.
"""

import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path

REPLY_MARK = "@reply "


def token_ids(count, seed=0):
    """`count` pseudo-random ids in [100, 2000): alike for all engines, in every vocabulary."""
    state, ids = seed * 2654435761 + 12345, []
    for _ in range(count):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        ids.append(100 + (state >> 8) % 1900)
    return ids


def timed(call):
    """Seconds that `call()` takes, and what it returns."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def cores():
    """The cores an engine may use, as the others do: those of this process, or OMP_NUM_THREADS."""
    if hasattr(os, "sched_getaffinity"):
        usable = sorted(os.sched_getaffinity(0))
    else:
        usable = list(range(os.cpu_count() or 1))
    return usable[: int(os.environ.get("OMP_NUM_THREADS", len(usable)))]


def forget_peak():
    """Begin a new peak, where the system can: what an earlier question took is not this one's."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_bytes():
    """The most memory held since `forget_peak`.

    Not ru_maxrss where it can be helped: that begins with what the parent held.
    """
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def serve(engine):
    """Answer questions about `engine`: prefill(ids) -> s, decode(ids, count) -> s per token."""
    for line in sys.stdin:
        question = json.loads(line)
        try:
            reply = answer(engine, **question)
        except Exception as error:  # the parent shows it beside the other engines' figures
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(REPLY_MARK + json.dumps(reply) + "\n")
        sys.stdout.flush()


def answer(engine, op, tokens=0, seed=0, count=32):
    if op == "hello":
        return {"version": engine.version}
    ids = token_ids(tokens, seed)
    forget_peak()
    if op == "prefill":
        seconds = engine.prefill(ids)
        figures = {"tokens_per_s": tokens / seconds}
    else:
        seconds = engine.decode(ids, count)
        figures = {"tokens_per_s": 1 / seconds}
    extra = getattr(engine, "extra", {})
    return {"seconds": seconds, "peak_bytes": peak_bytes(), **figures, **extra}
