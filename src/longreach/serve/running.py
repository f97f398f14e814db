"""What is known of a request while the engine works on it, for /slots and the like."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from longreach.engine.protocol import PromptProgress


@dataclass(eq=False)
class RunningRequest:
    """One request. owner: whose it is; nobody else may see it. started: Unix time."""

    request_id: str
    owner: str
    num_prompt_tokens: int
    started: float = field(default_factory=time.time)
    progress: PromptProgress | None = None
    num_generated_tokens: int = 0

    @property
    def num_processed_tokens(self) -> int:
        """Prompt tokens read so far."""
        if self.num_generated_tokens:
            return self.num_prompt_tokens
        return self.progress.processed if self.progress else 0
