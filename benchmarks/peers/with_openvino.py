"""OpenVINO GenAI under test. Usage: with_openvino.py MODEL_DIR (exports it once, beside)."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino as ov
import openvino_genai
from protocol import serve


def exported(model):
    """The OpenVINO form of the checkpoint, fp16 weights, made once."""
    target = Path(model + "-openvino")
    if not (target / "openvino_model.bin").exists():
        command = [
            "export",
            "openvino",
            "--task",
            "text-generation-with-past",
            "--weight-format",
            "fp16",
        ]
        binary = Path(sys.executable).with_name("optimum-cli")
        subprocess.run([binary, *command, "--model", model, target], check=True, stdout=sys.stderr)
    return str(target)


class OpenVino:
    version = openvino_genai.__version__

    def __init__(self, model):
        self.pipe = openvino_genai.LLMPipeline(exported(model), "CPU")

    def _run(self, ids, max_tokens):
        tokens = np.array([ids], dtype=np.int64)
        inputs = openvino_genai.TokenizedInputs(ov.Tensor(tokens), ov.Tensor(np.ones_like(tokens)))
        config = openvino_genai.GenerationConfig(
            max_new_tokens=max_tokens, do_sample=False, ignore_eos=True
        )
        return self.pipe.generate(inputs, config).perf_metrics

    def prefill(self, ids):
        return self._run(ids, 1).get_ttft().mean / 1000

    def decode(self, ids, count):
        return self._run(ids, count + 1).get_tpot().mean / 1000


serve(OpenVino(sys.argv[1]))
