"""How a checkpoint wants to be sampled, when a request does not say."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from longreach.engine.sampling_params import SamplingParams

logger = logging.getLogger("longreach.serve")

FILE = "generation_config.json"
_KEYS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


def sampling_defaults(folder: Path) -> dict[str, float]:
    """What generation_config.json says, {} where there is none. do_sample false means greedy."""
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        found = {key: given[key] for key in _KEYS if given.get(key) is not None}
        if given.get("do_sample") is False:
            found = {"temperature": 0.0}
        SamplingParams(**found)
    except (ValueError, AttributeError) as error:
        logger.warning("%s is not used: %s", path, error)
        return {}
    return found
