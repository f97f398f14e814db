"""Async engines over tiny checkpoints, and what their requests gave."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import torch

from longreach.config import EngineConfig, SparsePolicy
from longreach.engine.async_engine import AsyncEngine
from longreach.engine.build import Overrides, build_engine
from longreach.engine.engine import Engine
from longreach.engine.outputs import RequestOutput
from longreach.engine.protocol import PromptProgress, PromptRequest
from longreach.engine.sampling_params import SamplingParams


def build(folder, *, num_kv_tokens="auto", **settings) -> Engine:
    """A float32 engine with pages of 16 tokens."""
    config = EngineConfig(
        **{"dtype": "float32", "page_size": 16, "seed": 0, "sparse": SparsePolicy(mode="off")}
        | settings
    )
    overrides = Overrides(num_kv_tokens=num_kv_tokens)
    return build_engine(folder, config, overrides, device=torch.device("cpu"))


@contextlib.contextmanager
def running(engine, **options):
    """An AsyncEngine that is closed at the end; the laws of its pages hold then."""
    served = AsyncEngine(engine, **options)
    try:
        yield served
    finally:
        served.close()
        engine.check()


def prompt_ids(length, seed=0):
    return torch.randint(0, 300, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def request(length=40, *, seed=0, salt="", request_id=None, **params):
    sampling = {"temperature": 0.0, "ignore_eos": True, "max_tokens": 5} | params
    return PromptRequest(
        prompt_token_ids=prompt_ids(length, seed),
        params=SamplingParams(**sampling),
        request_id=request_id,
        cache_salt=salt,
    )


@dataclass
class Told:
    """All that a submission said."""

    progress: list[PromptProgress] = field(default_factory=list)
    outputs: list[RequestOutput] = field(default_factory=list)

    @property
    def last(self) -> RequestOutput:
        return self.outputs[-1]

    def token_ids(self, index=0):
        answers = [a for output in self.outputs for a in output.outputs if a.index == index]
        return [token for answer in answers for token in answer.token_ids]

    @property
    def finish_reason(self):
        return self.last.outputs[0].finish_reason


async def collect(submission) -> Told:
    told = Told()
    async for item in submission:
        assert not (isinstance(item, PromptProgress) and told.outputs)
        (told.progress if isinstance(item, PromptProgress) else told.outputs).append(item)
    return told


async def ask(served, one) -> Told:
    return await collect(await served.submit(one))
