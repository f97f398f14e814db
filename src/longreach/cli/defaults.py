"""How a checkpoint wants its answers drawn."""

from __future__ import annotations

import json
from pathlib import Path

from longreach.errors import CheckpointError

GENERATION_FILE = "generation_config.json"
_KEYS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


def sampling_defaults(folder: Path) -> dict[str, float]:
    """What generation_config.json says of sampling, by the names of `SamplingParams`.

    do_sample false is temperature 0, as transformers has it. A checkpoint without the file says
    nothing. Raises CheckpointError for a file that is no JSON object.
    """
    path = folder / GENERATION_FILE
    if not path.is_file():
        return {}
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    if not isinstance(given, dict):
        raise CheckpointError(f"{path}: expected a JSON object")
    if given.get("do_sample") is False:
        return {"temperature": 0.0}
    return {key: given[key] for key in _KEYS if isinstance(given.get(key), int | float)}
