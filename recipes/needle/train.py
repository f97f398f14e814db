"""The training loop: stages of growing length and rope base, resumable at any checkpoint."""

from __future__ import annotations

import math
import queue
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from tokenizers import Tokenizer
from torch.nn import functional as F
from transformers import Qwen2ForCausalLM

from longreach.platform import default_dtype
from needle import attention, data
from needle.data import Batch, Source
from needle.model import set_rope_theta

WARMUP_STEPS = 60
CHECKPOINT_SECONDS = 180.0
REPORT_STEPS = 25


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of training.

    lengths: shortest and longest sequence in tokens. full_share: of the steps at the longest; the
    others draw a length anew each step. rate: learning rate at the stage's start and end.
    hard: share of documents with distractors and uncommon keys.
    dense: share of documents that are hardly more than needles. copies: share of sequences that are
    random tokens repeated. lists: share of documents asked for several needles at once only.
    sharpen: share of the steps with random logit factors. reach: weight of that loss term; window,
    stretch: see `attention.Step`.
    lm: weight of the plain language-model loss (the answers have weight 1).
    """

    name: str
    num_tokens: int
    lengths: tuple[int, int]
    full_share: float
    rope_theta: float
    rate: tuple[float, float]
    tokens_per_step: int = 4096
    hard: float = 0.7
    dense: float = 0.0
    copies: float = 0.0
    lists: float = 0.0
    sharpen: float = 0.5
    reach: float = 0.0
    window: int = 256
    stretch: float = 1.0
    lm: float = 0.3


@dataclass
class State:
    """Where a run stands."""

    stage: int = 0
    tokens: int = 0
    step: int = 0
    seconds: float = 0.0


class MasterAdamW:
    """AdamW on float32 copies of the weights, which are bf16 where the CPU multiplies it."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.live = [p for p in model.parameters() if p.requires_grad]
        self.masters = [p.detach().float().clone() for p in self.live]
        decayed = [m for m in self.masters if m.ndim > 1]
        plain = [m for m in self.masters if m.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
        self.inner = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), fused=True)

    def step(self, rate: float) -> float:
        """Clips, steps, writes the weights back. Returns the gradient's norm."""
        flat = average(torch.cat([live.grad.float().flatten() for live in self.live]))
        pieces = flat.split([live.numel() for live in self.live])
        for live, master, piece in zip(self.live, self.masters, pieces, strict=True):
            master.grad, live.grad = piece.view_as(master), None
        norm = torch.nn.utils.clip_grad_norm_(self.masters, 1.0)
        for group in self.inner.param_groups:
            group["lr"] = rate
        self.inner.step()
        self.write_back()
        return norm.item()

    @torch.no_grad()
    def read_weights(self) -> None:
        """Begins with the model's weights as they are now."""
        for live, master in zip(self.live, self.masters, strict=True):
            master.copy_(live)

    @torch.no_grad()
    def write_back(self) -> None:
        """Rounds the float32 weights into the model's."""
        for live, master in zip(self.live, self.masters, strict=True):
            live.copy_(master)


def average(flat: torch.Tensor) -> torch.Tensor:
    """The mean over the run's processes."""
    if dist.is_initialized():
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
    return flat


class Run:
    """A resumable training run in a folder.

    Processes of one thread each share every step (their gradients are averaged): on a busy machine
    that is several times faster than one process of several threads, which wait for each other at
    every tensor operation.
    """

    def __init__(
        self, model: Qwen2ForCausalLM, tokenizer: Tokenizer, folder: Path, stages: list[Stage]
    ) -> None:
        self.model = model.to(default_dtype())
        self.tokenizer, self.folder, self.stages = tokenizer, folder, stages
        self.source, self.held_out = Source("train"), Source("held_out")
        self.optimizer = MasterAdamW(model)
        self.state = State()
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.num_workers = dist.get_world_size() if dist.is_initialized() else 1
        self.saved_at = time.monotonic()

    def resume(self) -> None:
        """Continues from the folder's checkpoint where there is one."""
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        saved = torch.load(path, weights_only=True)
        self.state = State(**saved["state"])
        for master, value in zip(self.optimizer.masters, saved["masters"], strict=True):
            master.copy_(value)
        self.optimizer.inner.load_state_dict(saved["optimizer"])
        self.optimizer.write_back()

    def save(self) -> None:
        """Writes the checkpoint; the old one is replaced at once."""
        self.saved_at = time.monotonic()
        if self.rank:
            return
        path = self.folder / "checkpoint.pt"
        saved = {
            "state": vars(self.state),
            "masters": self.optimizer.masters,
            "optimizer": self.optimizer.inner.state_dict(),
        }
        torch.save(saved, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def train(self) -> None:
        """Runs the stages that remain."""
        while self.state.stage < len(self.stages):
            stage = self.stages[self.state.stage]
            set_rope_theta(self.model, stage.rope_theta)
            self._train_stage(stage)
            self._report_accuracy(stage)
            self.state.stage, self.state.tokens = self.state.stage + 1, 0
            self.save()

    def _train_stage(self, stage: Stage) -> None:
        meter = Meter(self.state)
        for batch in self._batches(stage):
            meter.add(*self._step(stage, batch), batch.ids.numel() * self.num_workers)
            if self.state.step % REPORT_STEPS == 0 and not self.rank:
                print(meter.line(stage), flush=True)
            if self.state.step % (REPORT_STEPS * 8) == 0:
                self._report_accuracy(stage)
            if time.monotonic() - self.saved_at > CHECKPOINT_SECONDS:
                self.save()

    def _batches(self, stage: Stage) -> Iterator[Batch]:
        """The stage's remaining batches, made ahead in a thread."""
        ready: queue.Queue[Batch | None] = queue.Queue(maxsize=4)
        start = (self.state.tokens, self.state.step)

        def work() -> None:
            tokens, step = start
            while tokens < stage.num_tokens:
                batch = self._make_batch(stage, step)
                tokens, step = tokens + batch.ids.numel() * self.num_workers, step + 1
                ready.put(batch)
            ready.put(None)

        threading.Thread(target=work, daemon=True).start()
        while (batch := ready.get()) is not None:
            yield batch

    def _make_batch(self, stage: Stage, step: int) -> Batch:
        length = draw_length(stage, step)
        return data.make_batch(
            self.tokenizer,
            self.source,
            length=length,
            batch_size=max(stage.tokens_per_step // self.num_workers // length, 1),
            seed=f"train {step} {self.rank}",
            hard=stage.hard,
            dense=stage.dense,
            copies=stage.copies,
            lists=stage.lists,
        )

    def _step(self, stage: Stage, batch: Batch) -> tuple[float, float, float]:
        started = time.monotonic()
        rng = random.Random(f"step {self.state.step}")
        ask = attention.current = draw_step(stage, batch, rng)
        answer, plain = losses(self.model, batch, self.state.step)
        reach = torch.stack(ask.reach).mean() if ask.reach else torch.zeros(())
        (answer + stage.lm * plain + stage.reach * reach).backward()
        self.optimizer.step(learning_rate(stage, self.state))
        self.state.step += 1
        self.state.tokens += batch.ids.numel() * self.num_workers
        self.state.seconds += time.monotonic() - started
        return answer.item(), plain.item(), reach.item()

    def _report_accuracy(self, stage: Stage) -> None:
        if self.rank:
            return
        length = stage.lengths[1]
        table = accuracy(self.model, self.tokenizer, self.held_out, length=length)
        parts = (f"{kind} {share:.2f} ({n})" for kind, (share, n) in sorted(table.items()))
        print(f"  held out, {length} tokens: " + "  ".join(parts), flush=True)


class Meter:
    """Means since the last line, and tokens a second."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.rows: list[tuple[float, float, float]] = []
        self.tokens, self.started = 0, time.monotonic()

    def add(self, answer: float, plain: float, reach: float, tokens: int) -> None:
        """One step's losses and tokens."""
        self.rows.append((answer, plain, reach))
        self.tokens += tokens

    def line(self, stage: Stage) -> str:
        """A line of progress; starts counting anew."""
        answer, plain, reach = (sum(c) / len(c) for c in zip(*self.rows, strict=True))
        rate = self.tokens / (time.monotonic() - self.started)
        self.rows, self.tokens, self.started = [], 0, time.monotonic()
        return (
            f"{stage.name} step {self.state.step} {self.state.tokens / 1e6:.2f}M tokens, "
            f"{rate / 1e3:.1f}K/s, answer {answer:.4f}, text {plain:.3f}, reach {reach:.4f}, "
            f"{self.state.seconds / 60:.1f} min"
        )


def draw_length(stage: Stage, step: int) -> int:
    """The step's sequence length, a multiple of 32."""
    rng = random.Random(f"length {step}")
    low, high = stage.lengths
    return high if rng.random() < stage.full_share else rng.randrange(low, high + 1, 32)


def draw_step(stage: Stage, batch: Batch, rng: random.Random) -> attention.Step:
    """The step's logit factors and the rows whose reach is measured."""
    length = batch.ids.shape[1]
    factors = rows = None
    if rng.random() < stage.sharpen:
        low, high = sorted(math.exp(rng.uniform(math.log(0.75), math.log(2.75))) for _ in "ab")
        factors = torch.linspace(low, high, length)
    if stage.reach:
        draw = torch.rand(len(batch.document_end), 48)
        rows = (draw * batch.document_end[:, None]).long()
    return attention.Step(factors=factors, rows=rows, window=stage.window, stretch=stage.stretch)


def losses(model: Qwen2ForCausalLM, batch: Batch, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean cross entropy of the answers' tokens, and of a quarter of all tokens."""
    hidden = model.model(input_ids=batch.ids, use_cache=False).last_hidden_state[:, :-1]
    targets, is_answer = batch.ids[:, 1:], batch.is_answer[:, 1:]
    draw = torch.rand(targets.shape, generator=torch.Generator().manual_seed(step))
    picked = is_answer | (draw < 0.25)
    logits = model.lm_head(hidden[picked]).float()
    each = F.cross_entropy(logits, targets[picked], reduction="none")
    return each[is_answer[picked]].mean(), each[(draw < 0.25)[picked]].mean()


def learning_rate(stage: Stage, state: State) -> float:
    """Linear from the stage's first to its last rate; warm-up at the run's start."""
    first, last = stage.rate
    rate = first + (last - first) * min(state.tokens / stage.num_tokens, 1.0)
    return rate * min((state.step + 1) / WARMUP_STEPS, 1.0)


@torch.no_grad()
def accuracy(
    model: Qwen2ForCausalLM, tokenizer: Tokenizer, source: Source, *, length: int, batches: int = 4
) -> dict[str, tuple[float, int]]:
    """Share of replies that greedy decoding would give exactly, and their number, per kind."""
    attention.current = attention.Step()
    right: dict[str, list[bool]] = defaultdict(list)
    for index in range(batches):
        size = max(8192 // length, 1)
        batch = data.make_batch(
            tokenizer, source, length=length, batch_size=size, seed=f"held out {index}"
        )
        picks = model.model(input_ids=batch.ids, use_cache=False).last_hidden_state
        for row, kind, start, end in batch.answers:
            best = model.lm_head(picks[row, start - 1 : end - 1]).argmax(-1)
            right[kind].append(torch.equal(best, batch.ids[row, start:end]))
    table = {kind: (sum(r) / len(r), len(r)) for kind, r in right.items()}
    every = [r for rs in right.values() for r in rs]
    return {**table, "all": (sum(every) / len(every), len(every))}
