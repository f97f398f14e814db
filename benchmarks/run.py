"""Run the benchmarks: `python benchmarks/run.py --help`."""

import argparse
from pathlib import Path

from longreach.bench.plan import DECODE_CONTEXTS, ENGINES, PREFILL_LENGTHS
from longreach.bench.run import run_benchmarks, save
from longreach.bench.table import markdown

HERE = Path(__file__).parent


def parse():
    parser = argparse.ArgumentParser(
        description="Prefill and decode rates, ours beside the peers'."
    )
    parser.add_argument("--prefill", type=int, nargs="*", default=list(PREFILL_LENGTHS))
    parser.add_argument("--decode", type=int, nargs="*", default=list(DECODE_CONTEXTS))
    parser.add_argument("--engines", nargs="*", default=[], choices=[spec.name for spec in ENGINES])
    parser.add_argument("--shape", default="qwen2.5-0.5b")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=HERE / "results" / "local")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "local" / "bench.json")
    return parser.parse_args()


def main():
    options = parse()
    result = run_benchmarks(
        scripts=HERE / "peers",
        work=options.work,
        shape=options.shape,
        prefill=tuple(options.prefill),
        decode=tuple(options.decode),
        engines=tuple(options.engines),
        rounds=options.rounds,
    )
    save(result, options.output)
    print(markdown(result))
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
