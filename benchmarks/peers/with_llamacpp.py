"""llama.cpp under test. Usage: with_llamacpp.py MODEL_DIR bf16|q8_0 (writes its GGUF once)."""

import sys
from pathlib import Path

import llama_cpp
from gguf_file import write_gguf
from protocol import cores, serve, timed

default_parameters = llama_cpp.llama_model_default_params


def without_repacking():
    """Model parameters that keep weights as they are on disk."""
    parameters = default_parameters()
    parameters.use_extra_bufts = False
    return parameters


class LlamaCpp:
    version = llama_cpp.__version__

    def __init__(self, model, kind):
        path = Path(f"{model}-{kind}.gguf")
        if not path.exists():
            write_gguf(Path(model), path, kind)
        if kind == "q8_0":  # version 0.3.36 crashes when it repacks q8_0 for AMX
            llama_cpp.llama_cpp.llama_model_default_params = without_repacking
        self.llm = llama_cpp.Llama(
            str(path),
            n_ctx=40_960,
            n_batch=2048,
            n_ubatch=512,
            n_threads=len(cores()),
            n_threads_batch=len(cores()),
            flash_attn=True,
            verbose=False,
        )

    def _prefill(self, ids):
        self.llm.reset()
        self.llm.eval(ids)

    def prefill(self, ids):
        return timed(lambda: self._prefill(ids))[0]

    def decode(self, ids, count):
        self._prefill(ids)

        def steps():
            for _ in range(count):
                self.llm.eval([self.llm.sample(temp=0.0)])

        return timed(steps)[0] / count


serve(LlamaCpp(sys.argv[1], sys.argv[2]))
