"""What every engine under test shares: its questions, its share of the machine, its memory."""

import subprocess
import sys
from pathlib import Path

import longreach
from longreach.bench.run import question_seed
from longreach.bench.worker import Worker

PEERS = Path(__file__).parents[2] / "benchmarks" / "peers"
MIB = 2**20
BIG = "held = bytes(range(1, 256)) * (200 * 2**20 // 255)"


def in_python(code, **env):
    """What `code` prints, beside the modules of benchmarks/peers."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=PEERS, env=env, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.split()


def test_the_peak_is_that_of_the_question():
    """Neither what an earlier question held nor what the parent holds is counted."""
    measure = "from protocol import *; forget_peak(); print(peak_bytes())"
    [alone] = in_python(measure)
    [later] = in_python(f"{BIG}; del held; {measure}")
    start = f"subprocess.run([sys.executable, '-c', {measure!r}], check=True)"
    [child] = in_python(f"{BIG}; import subprocess, sys; {start}")
    assert max(int(later), int(child)) < int(alone) + 60 * MIB
    [held] = in_python(f"from protocol import *; {BIG}; del held; print(peak_bytes())")
    assert int(held) > int(alone) + 150 * MIB


def test_every_engine_may_use_the_same_cores():
    """OMP_NUM_THREADS, which torch obeys, holds for the others too."""
    code = "from protocol import cores; print(len(cores()))"
    assert in_python(code, OMP_NUM_THREADS="1") == ["1"]


def test_no_prompt_begins_as_another():
    """A cache of prefixes, where a peer has one, finds nothing: not by length, round or kind."""
    asked = [(op, n, i) for op in ("prefill", "decode") for n in (512, 1024, 4096) for i in (0, 1)]
    seeds = [question_seed(*question) for question in asked]
    code = f"from protocol import token_ids\nfor s in {seeds}: print(*token_ids(4, s), sep=',')"
    assert len(set(in_python(code))) == len(asked)


def test_our_figures_are_those_of_the_question(tmp_path):
    """A decode row says its own recall and density, not those of a prefill before it."""
    model = Path(longreach.__file__).parent / "assets" / "needle"
    argv = [sys.executable, PEERS / "ours.py", model, "dense"]
    with Worker("ours", argv, tmp_path / "log") as worker:
        reply = worker.ask(op="decode", tokens=64, seed=1, count=2)
    assert (reply["recall_min"], reply["density"]) == (1.0, 1.0)
