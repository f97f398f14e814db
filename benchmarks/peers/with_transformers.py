"""transformers (sdpa) under test, in our dtype. Usage: with_transformers.py MODEL_DIR."""

import sys

import torch
import transformers
from protocol import serve, timed

from longreach.platform import default_dtype


class Transformers:
    version = transformers.__version__

    def __init__(self, model):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            model, dtype=default_dtype(), attn_implementation="sdpa"
        ).eval()

    def _forward(self, ids, cache=None):
        with torch.inference_mode():
            out = self.model(
                input_ids=torch.tensor([ids]),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        return out.past_key_values, int(out.logits[0, -1].argmax())

    def prefill(self, ids):
        return timed(lambda: self._forward(ids))[0]

    def decode(self, ids, count):
        cache, token = self._forward(ids)

        def steps():
            nonlocal cache, token
            for _ in range(count):
                cache, token = self._forward([token], cache)

        return timed(steps)[0] / count


serve(Transformers(sys.argv[1]))
