"""Makes the small model `needle` from nothing, on two CPU cores or one GPU.

    python recipes/needle.py                 train (resumes), then write src/longreach/assets/needle
    python recipes/needle.py --export-only   write what the last checkpoint holds
    python recipes/needle.py --weights DIR   only the last stage, from the weights of a checkpoint
    python recipes/needle.py --workers N     N processes of one thread each (one per core)

Needs transformers, tokenizers and safetensors (the `train` extra). Checkpoints go to runs/needle.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "recipes"), str(ROOT / "src")]

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from needle.model import export, new_model  # noqa: E402
from needle.tokenizer import train_tokenizer  # noqa: E402
from needle.train import Run, Stage  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

STAGES = [
    Stage(
        name="recall",
        num_tokens=1_600_000,
        lengths=(128, 512),
        full_share=0.0,
        rope_theta=1e4,
        rate=(1e-3, 1e-3),
        hard=0.0,
        dense=0.7,
        copies=0.2,
        sharpen=0.0,
    ),
    Stage(
        name="short",
        num_tokens=2_600_000,
        lengths=(128, 1024),
        full_share=0.0,
        rope_theta=2e4,
        rate=(1e-3, 1e-3),
        hard=0.5,
        dense=0.3,
        copies=0.05,
        sharpen=0.3,
        reach=0.3,
        lm=0.2,
    ),
    Stage(
        name="lists",
        num_tokens=1_500_000,
        lengths=(256, 512),
        full_share=0.0,
        rope_theta=4e4,
        rate=(1e-3, 1e-3),
        hard=0.0,
        dense=0.9,
        lists=0.7,
        sharpen=0.3,
        reach=0.3,
        lm=0.1,
    ),
    Stage(
        name="long",
        num_tokens=5_500_000,
        lengths=(256, 2048),
        full_share=0.75,
        rope_theta=4e4,
        rate=(1e-3, 2e-5),
        hard=0.7,
        dense=0.15,
        copies=0.02,
        lists=0.15,
        sharpen=0.5,
        reach=0.5,
        lm=0.1,
    ),
    Stage(
        name="polish",
        num_tokens=3_000_000,
        lengths=(256, 2048),
        full_share=0.75,
        rope_theta=4e4,
        rate=(6e-4, 1e-5),
        tokens_per_step=8192,
        hard=0.6,
        dense=0.1,
        lists=0.2,
        sharpen=0.5,
        reach=0.5,
        lm=0.05,
    ),
    Stage(
        name="settle",
        num_tokens=2_500_000,
        lengths=(512, 2048),
        full_share=0.75,
        rope_theta=4e4,
        rate=(5e-4, 1e-5),
        hard=0.6,
        dense=0.1,
        lists=0.3,
        sharpen=0.5,
        reach=1.0,
        window=128,  # what sparse prefill keeps beside every row at least
        stretch=500.0,
        lm=0.05,
    ),
]
LOCAL_SIZE = 512


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "needle")
    parser.add_argument("--out", type=Path, default=ROOT / "src/longreach/assets/needle")
    parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 2))
    parser.add_argument("--export-only", action="store_true")
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.weights and not (options.folder / "checkpoint.pt").exists():
        start_last_stage(options.folder, options.weights)
    load_or_train_tokenizer(options.folder / "tokenizer.json")
    if not options.export_only:
        torch.multiprocessing.spawn(work, (options.workers, options.folder), options.workers)
    write(make_run(options.folder), options.out)


def start_last_stage(folder: Path, weights: Path) -> None:
    """A checkpoint at the beginning of the last stage, with these weights and their tokenizer."""
    from safetensors.torch import load_file

    shutil.copy(weights / "tokenizer.json", folder / "tokenizer.json")
    run = make_run(folder)
    run.model.load_state_dict(load_file(weights / "model.safetensors"), strict=False)
    run.optimizer.read_weights()
    run.state.stage = len(STAGES) - 1
    run.save()


def work(rank: int, num_workers: int, folder: Path) -> None:
    """One training process."""
    torch.set_num_threads(1)
    meeting = f"file://{folder / f'meeting-{os.getppid()}'}"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=num_workers)
    make_run(folder).train()
    dist.destroy_process_group()


def make_run(folder: Path) -> Run:
    """The run in this folder, resumed from its checkpoint."""
    tokenizer = load_or_train_tokenizer(folder / "tokenizer.json")
    run = Run(new_model(tokenizer, rope_theta=STAGES[0].rope_theta), tokenizer, folder, STAGES)
    run.resume()
    return run


def load_or_train_tokenizer(path: Path) -> Tokenizer:
    """The run's tokenizer, trained on first use."""
    if not path.exists():
        train_tokenizer().save(str(path))
    return Tokenizer.from_file(str(path))


def write(run: Run, folder: Path) -> None:
    """Writes the checkpoint with the length and rope base of the last stage it was trained in."""
    from needle.model import set_rope_theta

    begun = run.state.stage if run.state.tokens else run.state.stage - 1
    stage = run.stages[max(min(begun, len(run.stages) - 1), 0)]
    set_rope_theta(run.model, stage.rope_theta)
    trained, local = stage.lengths[1], min(LOCAL_SIZE, stage.lengths[1] // 4)
    export(run.model, run.tokenizer, folder, trained_length=trained, local_size=local)


if __name__ == "__main__":
    main()
