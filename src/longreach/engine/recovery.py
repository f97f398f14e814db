"""What to do when a step runs out of memory: once again with less, else one request ends."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

import torch

from longreach.engine.memory import LOGIT_COPIES
from longreach.errors import MemoryPlanError
from longreach.platform import available_bytes

if TYPE_CHECKING:
    from longreach.engine.memory import Footprint
    from longreach.engine.step_plan import ScheduledSlice, StepPlan

logger = logging.getLogger(__name__)

MAX_RETRIES = 1
_FLOAT32 = 4
_MESSAGES = ("out of memory", "not enough memory", "t allocate memory", "not allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, in Python, in torch on the CPU, or on a GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(message in text for message in _MESSAGES)


def choose_victim(plan: StepPlan) -> ScheduledSlice:
    """The slice to make smaller: the longest one that reads a prompt, else the youngest request's.

    Decodes come oldest first, so the last slice is the youngest's.
    """
    reading = [piece for piece in plan.slices if not piece.is_decode]
    return max(reading, key=lambda piece: piece.length) if reading else plan.slices[-1]


def may_retry(piece: ScheduledSlice, error: BaseException) -> bool:
    """Halve the slices of the request from now on; False when that was done before."""
    # The frames of the failure hold its tensors, and would until the request ends.
    traceback.clear_frames(error.__traceback__)
    request = piece.request
    if request.num_memory_failures >= MAX_RETRIES:
        return False
    request.num_memory_failures += 1
    if not piece.is_decode:  # one row says nothing of how the prompt may be read again
        request.max_slice_tokens = max(piece.length // 2, 1)
    logger.warning(
        "%s: out of memory in a step with %d rows of it, trying again: %s",
        request.request_id,
        piece.length,
        error,
    )
    return True


def memory_error(
    piece: ScheduledSlice, footprint: Footprint, device: torch.device, error: BaseException
) -> MemoryPlanError:
    """What the slice was planned to take, and what is free now."""
    parts = {
        "activations": footprint.activation_bytes(piece.length),
        "attention": footprint.attention_bytes(),
        "selection": footprint.selection_bytes(piece.request.num_tokens),
        "logits": footprint.model.vocab_size * _FLOAT32 * LOGIT_COPIES,
    }
    hint = (
        f"a step of {piece.length} rows ran out of memory again ({error}): free memory, or load "
        f"the model with fewer max_num_batched_tokens or a smaller pool of pages"
    )
    return MemoryPlanError(sum(parts.values()), available_bytes(device), parts, hint)
