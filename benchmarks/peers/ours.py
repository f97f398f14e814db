"""longreach under test. Usage: ours.py MODEL_DIR VARIANT with VARIANT dense, sparse or int8."""

import sys

from protocol import serve

import longreach
from longreach import LLM, SamplingParams

# 3072 columns and 1024 diagonals: 4096 kept keys a row.
VARIANTS = {
    "dense": {"sparse": "off"},
    "sparse": {"sparse_budget": (3072, 1024), "sparse_min_tokens": 0},
    "adaptive": {"sparse": "adaptive", "sparse_min_tokens": 0},
    "int8": {"sparse": "off", "quantization": "int8"},
}


class Ours:
    version = longreach.__version__

    def __init__(self, model, variant):
        self.llm = LLM(
            model, enable_prefix_caching=False, max_model_len=132_096, **VARIANTS[variant]
        )
        self.extra = {}

    def _run(self, ids, max_tokens):
        params = SamplingParams(
            max_tokens=max_tokens, temperature=0.0, ignore_eos=True, detokenize=False
        )
        (output,) = self.llm.generate({"prompt_token_ids": ids}, params)
        metrics = output.metrics
        self.extra = {"recall_min": metrics.recall_min, "density": metrics.density}
        return metrics

    def prefill(self, ids):
        return self._run(ids, 1).ttft_s

    def decode(self, ids, count):
        return 1 / self._run(ids, count + 1).decode_tokens_per_s


serve(Ours(sys.argv[1], sys.argv[2]))
