"""vLLM's CPU build under test. Usage: with_vllm.py MODEL_DIR"""

import os
import sys

from protocol import cores, serve, timed

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", ",".join(map(str, cores())))

import vllm


class Vllm:
    version = vllm.__version__

    def __init__(self, model):
        self.llm = vllm.LLM(
            model,
            dtype="bfloat16",
            max_model_len=40_960,
            enable_prefix_caching=False,
            max_num_seqs=2,
        )

    def _run(self, ids, max_tokens):
        params = vllm.SamplingParams(
            max_tokens=max_tokens, temperature=0.0, ignore_eos=True, detokenize=False
        )
        return timed(lambda: self.llm.generate({"prompt_token_ids": ids}, params, use_tqdm=False))[
            0
        ]

    def prefill(self, ids):
        return self._run(ids, 1)

    def decode(self, ids, count):
        first = self._run(ids, 1)
        return (self._run(ids, count + 1) - first) / count


if __name__ == "__main__":
    serve(Vllm(sys.argv[1]))
