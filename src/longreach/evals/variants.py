"""A checkpoint as it would be without dual chunk attention, for comparison."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longreach.errors import ModelNotFoundError

DCA_KEY = "dual_chunk_attention_config"


@contextmanager
def without_dual_chunk(model_dir: Path) -> Iterator[Path]:
    """A temporary directory that holds the same checkpoint with plain rotary attention.

    Every file is a link to the original but config.json, which loses its dual chunk entry (and with
    it the attention temperature). Raises ModelNotFoundError without a config.json.
    """
    source = model_dir / "config.json"
    if not source.is_file():
        raise ModelNotFoundError(f"{model_dir} has no config.json")
    config = json.loads(source.read_text())
    config.pop(DCA_KEY, None)
    with tempfile.TemporaryDirectory(prefix="longreach-") as folder:
        target = Path(folder)
        for file in model_dir.iterdir():
            if file.name != "config.json" and file.is_file():
                (target / file.name).symlink_to(file.resolve())
        (target / "config.json").write_text(json.dumps(config, indent=2))
        yield target
