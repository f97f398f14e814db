"""`LLM`: the engine as one Python object, in the names that users of vLLM know."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Literal, Self

import torch

from longreach.config import (
    CacheDtype,
    DiskCacheConfig,
    Dtype,
    EngineConfig,
    Quantization,
    SparseMode,
    SparsePolicy,
    TemperatureMode,
    as_disk_cache,
)
from longreach.engine.build import Overrides, build_engine
from longreach.engine.engine import Engine, nothing
from longreach.engine.estimate import Estimate, estimate_prompt
from longreach.engine.inputs import Prompt, as_conversations, as_requests, as_variables
from longreach.engine.interrupt import InterruptFlag
from longreach.engine.outputs import RequestMetrics, RequestOutput
from longreach.engine.progress import ProgressMeter
from longreach.engine.protocol import ProgressCallback, PromptRequest
from longreach.engine.sampling_params import SamplingParams
from longreach.errors import InvalidRequestError
from longreach.text import ChatTemplate, Tokenizer

_POLICY, _CONFIG = SparsePolicy(), EngineConfig()
Message = Mapping[str, Any]


class LLM:
    """A model, loaded and ready.

    model: "needle" (shipped), a Hugging Face directory, or a hub id.
    max_model_len: "auto" is the checkpoint's own, or what the free memory holds.
    sparse, sparse_recall, sparse_min_tokens, sparse_budget: see `SparsePolicy`.
    dual_chunk_attention: False runs a DCA model with plain rotary positions, for comparison; cap is
        the limit of its query positions. device: "auto" is the GPU where there is one.
    num_kv_tokens: size of the page pool; "auto" has room for the longest prompt and others.
    disk_cache: keeps what was read for later processes; True: in the default directory, a path: in
        this one, or a `DiskCacheConfig`. What is kept there reveals the prompts' text.
    Everything else: see `EngineConfig`. Raises the ModelError family, InvalidRequestError,
    MemoryPlanError. One call at a time: a second one, from another thread or a progress callback,
    is an InvalidRequestError (`abort` may come from anywhere). `close` (or `with`) gives the memory
    back.
    """

    def __init__(
        self,
        model: str | Path = "needle",
        *,
        dtype: Dtype = _CONFIG.dtype,
        kv_cache_dtype: CacheDtype = _CONFIG.kv_cache_dtype,
        quantization: Quantization | None = _CONFIG.quantization,
        max_model_len: int | Literal["auto"] = _CONFIG.max_model_len,
        sparse: SparseMode = _POLICY.mode,
        sparse_recall: float = _POLICY.recall,
        sparse_min_tokens: int = _POLICY.min_tokens,
        sparse_budget: tuple[int, int] | None = _POLICY.budget,
        max_num_batched_tokens: int = _CONFIG.max_num_batched_tokens,
        lone_slice_tokens: int = _CONFIG.lone_slice_tokens,
        max_num_seqs: int = _CONFIG.max_num_seqs,
        page_size: int = _CONFIG.page_size,
        enable_prefix_caching: bool = _CONFIG.enable_prefix_caching,
        temperature_mode: TemperatureMode = _CONFIG.temperature_mode,
        dual_chunk_attention: Literal["auto"] | bool = "auto",
        cap: int | None = None,
        num_kv_tokens: int | Literal["auto"] = "auto",
        strict_config: bool = _CONFIG.strict_config,
        seed: int | None = _CONFIG.seed,
        max_inter_token_ms: float | None = _CONFIG.max_inter_token_ms,
        num_speculative_tokens: int = _CONFIG.num_speculative_tokens,
        disk_cache: DiskCacheConfig | Path | str | bool | None = None,
        device: str = "auto",
    ) -> None:
        config = EngineConfig(
            dtype=dtype,
            kv_cache_dtype=kv_cache_dtype,
            quantization=quantization,
            max_model_len=max_model_len,
            sparse=SparsePolicy(
                mode=sparse,
                recall=sparse_recall,
                min_tokens=sparse_min_tokens,
                budget=sparse_budget,
            ),
            max_num_batched_tokens=max_num_batched_tokens,
            lone_slice_tokens=lone_slice_tokens,
            max_num_seqs=max_num_seqs,
            page_size=page_size,
            enable_prefix_caching=enable_prefix_caching,
            temperature_mode=temperature_mode,
            strict_config=strict_config,
            seed=seed,
            max_inter_token_ms=max_inter_token_ms,
            num_speculative_tokens=num_speculative_tokens,
            disk_cache=as_disk_cache(disk_cache),
        )
        overrides = Overrides(
            dual_chunk_attention=dual_chunk_attention, cap=cap, num_kv_tokens=num_kv_tokens
        )
        self.model = str(model)
        self._engine: Engine | None = build_engine(
            model, config, overrides, device=choose_device(device)
        )
        self._chat_template: ChatTemplate | None = None
        self._current: str | None = None
        self._mail: dict[str, deque[RequestOutput]] = {}
        self._is_stepping = Lock()

    # --- what it is

    @property
    def engine(self) -> Engine:
        """The engine below. Raises InvalidRequestError after `close`."""
        if self._engine is None:
            raise InvalidRequestError("llm", "closed", "an open LLM: close() was called")
        return self._engine

    @property
    def tokenizer(self) -> Tokenizer:
        """Raises InvalidRequestError for a checkpoint without one."""
        tokenizer = self.engine.tokenizer
        if tokenizer is None:
            raise InvalidRequestError("model", self.model, "a checkpoint with a tokenizer")
        return tokenizer

    @property
    def chat_template(self) -> ChatTemplate:
        """The checkpoint's chat templates."""
        if self._chat_template is None:
            self._chat_template = ChatTemplate.from_directory(self.engine.folder, self.tokenizer)
        return self._chat_template

    @property
    def max_model_len(self) -> int:
        """Most tokens of a prompt and its answer."""
        return self.engine.max_model_len

    @property
    def current_metrics(self) -> RequestMetrics | None:
        """What was measured so far on the first request that runs now (for progress displays)."""
        return None if self._current is None else self.engine.metrics(self._current)

    def estimate(self, num_tokens: int) -> Estimate:
        """Memory and time of a prompt of `num_tokens`, before it runs; calibrates for a second."""
        engine = self.engine
        return estimate_prompt(engine.footprint, num_tokens, engine.runner.device)

    # --- answers

    def generate(
        self,
        prompts: Prompt | Sequence[Prompt],
        params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        progress: ProgressCallback | None = None,
        cache_salt: str = "",
    ) -> list[RequestOutput]:
        """Continue each prompt; one output per prompt, in order.

        prompts: a text, {"prompt": text}, {"prompt_token_ids": ids}, or a list of these.
        params: one for all, or one per prompt. progress: see `ProgressCallback`.
        cache_salt: prompts with different salts never share cached pages.
        Raises ContextLengthError, MemoryPlanError, InvalidRequestError before anything runs.
        Ctrl-C stops within one slice; what was read stays cached and the engine usable.
        """
        requests = as_requests(prompts, params, cache_salt)
        ids = self._submit(requests, stream=False)
        done = {output.request_id: output for output in self._outputs(ids, progress)}
        for output in done.values():
            if output.error is not None:
                raise output.error
        return [done[request_id] for request_id in ids]

    def chat(
        self,
        messages: Sequence[Message] | Sequence[Sequence[Message]],
        params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        template_variables: Mapping[str, Any] | None = None,
        progress: ProgressCallback | None = None,
        cache_salt: str = "",
    ) -> list[RequestOutput]:
        """Answer one conversation, or each of a list of them.

        Special tokens inside messages are plain text (see `text.ChatTemplate`). Raises
        TemplateError, and as `generate` does.
        """
        options = {
            "tools": tools,
            "add_generation_prompt": add_generation_prompt,
            "continue_final_message": continue_final_message,
        }
        variables = as_variables(template_variables, {"self", "messages", *options})
        prompts: list[Prompt] = [
            {"prompt_token_ids": self.encode_chat(conversation, **options, **variables)}
            for conversation in as_conversations(messages)
        ]
        return self.generate(prompts, params, progress=progress, cache_salt=cache_salt)

    def stream(
        self,
        prompt: Prompt,
        params: SamplingParams | None = None,
        *,
        progress: ProgressCallback | None = None,
        cache_salt: str = "",
    ) -> Iterator[RequestOutput]:
        """Continue one prompt, piece by piece: each output holds only what is new.

        The pieces of each index join to what `generate` gives. Ending the iteration early aborts
        the request. Raises as `generate` does.
        """
        ids = self._submit(as_requests(prompt, params, cache_salt), stream=True)
        for output in self._outputs(ids, progress):
            if output.error is not None:
                raise output.error
            yield output

    def generate_requests(
        self, requests: Iterable[PromptRequest], *, progress: ProgressCallback | None = None
    ) -> Iterator[RequestOutput]:
        """What higher floors call (see `protocol.TextEngine`); errors are in the outputs."""
        yield from self._outputs(self._submit(requests, stream=True), progress)

    def abort(self, request_id: str) -> None:
        """Stop a request, from any thread. Pages finished before stay cached."""
        self.engine.abort(request_id)

    def encode_chat(self, messages: Sequence[Message], **options: Any) -> list[int]:
        """The prompt's ids of a conversation, through the model's template."""
        return self.chat_template.encode(messages, **options)

    # --- the loop

    def _submit(self, requests: Iterable[PromptRequest], *, stream: bool) -> list[str]:
        """Queue all of them, or none when one is refused."""
        self._require_idle()
        ids: list[str] = []
        try:
            for request in requests:
                ids.append(self.engine.add_request(request, stream=stream))  # noqa: PERF401
        except BaseException:
            self._leave(ids)
            raise
        self._mail |= {request_id: deque() for request_id in ids}
        return ids

    def _outputs(
        self, ids: list[str], progress: ProgressCallback | None
    ) -> Iterator[RequestOutput]:
        """Step until all of `ids` have ended; outputs of other calls wait in their mail."""
        unfinished = dict.fromkeys(ids)
        report = ProgressMeter(progress, ids, self.engine.progress) if progress else nothing
        try:
            while unfinished:
                self._current = next(iter(unfinished))
                self._step(ids, report)
                for output in self._take_mail(ids):
                    if output.finished:
                        del unfinished[output.request_id]
                    yield output
        finally:
            self._current = None
            self._leave(unfinished)
            for request_id in ids:
                self._mail.pop(request_id, None)

    def _leave(self, ids: Iterable[str]) -> None:
        """Stop requests that nobody reads: now, or where a step runs, by its next layer."""
        if self._engine is None:
            return
        if not self._is_stepping.acquire(blocking=False):
            for request_id in ids:
                self._engine.abort(request_id)
            return
        try:
            self._engine.cancel(ids)
        finally:
            self._is_stepping.release()

    def _step(self, ids: list[str], report: Callable[[], None]) -> None:
        """One step of the engine, unless mail is waiting; a Ctrl-C meanwhile is raised after it."""
        engine = self.engine
        if any(self._mail[request_id] for request_id in ids):
            return
        if not self._is_stepping.acquire(blocking=False):
            raise _in_use()
        try:
            with InterruptFlag() as interrupt:
                outputs = engine.step(should_stop=interrupt.check, on_progress=report)
        finally:
            self._is_stepping.release()
        for output in outputs:
            if output.request_id in self._mail:
                self._mail[output.request_id].append(output)
        interrupt.raise_if_set()

    def _require_idle(self) -> None:
        if self._is_stepping.locked():
            raise _in_use()

    def _take_mail(self, ids: list[str]) -> Iterator[RequestOutput]:
        for request_id in ids:
            while mail := self._mail.get(request_id):  # none where `close` came between
                yield mail.popleft()

    # --- its end

    def close(self) -> None:
        """Give the model and its pages back. Nothing can be asked afterwards.

        With a disk cache: what is not written yet is written first, for half a minute at most.
        Raises InvalidRequestError while a call runs.
        """
        self._require_idle()
        if self._engine is not None:
            self._engine.close()
        self._engine = None
        self._chat_template = None
        self._mail.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _in_use() -> InvalidRequestError:
    return InvalidRequestError("llm", "in use", "one call at a time, none from a callback")


def choose_device(name: str) -> torch.device:
    """For "auto" the GPU where there is one, else the CPU. Raises InvalidRequestError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise InvalidRequestError("device", name, "auto, cpu or cuda") from error
    if device.type not in ("cpu", "cuda") or (
        device.type == "cuda" and not torch.cuda.is_available()
    ):
        raise InvalidRequestError("device", name, "auto, cpu, or cuda where there is a GPU")
    return device
