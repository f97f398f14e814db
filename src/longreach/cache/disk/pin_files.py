"""Pins that outlive the process: a small file each, so that processes need no lock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from longreach.cache.disk.extent import DIGEST_BYTES
from longreach.cache.disk.files import make_private, remove_drafts, remove_file, write_file
from longreach.cache.pins import Pin

SUFFIX = ".pin.json"


class PinFiles:
    """The pins of one model's folder. What the files say is read again when any came or went.

    Thread-safe: the engine's loop and the writer both look.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._looking = Lock()
        self._looked_ns = -1
        self._pins: dict[bytes, Pin] = {}

    def load(self) -> dict[bytes, Pin]:
        """By name, those whose time is over included. Files that are no pins are removed."""
        with self._looking:
            try:
                changed_ns = self.folder.stat().st_mtime_ns
            except OSError:
                return {}
            if changed_ns != self._looked_ns:
                self._looked_ns = changed_ns
                remove_drafts(self.folder)
                found = [self._read(path) for path in sorted(self.folder.glob(f"*{SUFFIX}"))]
                self._pins = {pin.name: pin for pin in found if pin is not None}
            return dict(self._pins)

    def _look_again(self) -> None:
        with self._looking:
            self._looked_ns = -1

    def _read(self, path: Path) -> Pin | None:
        try:
            pin = _decode(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except OSError:  # not to be read now: as it was, and again with the next look
            self._looked_ns = -1
            return next((pin for pin in self._pins.values() if self._path(pin.name) == path), None)
        except (ValueError, KeyError, TypeError) as error:
            remove_file(path, f"no pin: {error!r}")
            return None
        if not pin.digests or self._path(pin.name) != path:
            remove_file(path, "its name is not that of its pin")
            return None
        return pin

    def save(self, pin: Pin) -> None:
        """Write a pin; one of the same name goes. Raises OSError."""
        make_private(self.folder)
        values = {
            "digests": b"".join(pin.digests).hex(),
            "salt_tag": pin.salt_tag,
            "label": pin.label,
            "created_s": pin.created_s,
            "expires_s": pin.expires_s,
        }
        write_file(self._path(pin.name), [json.dumps(values).encode()])
        self._look_again()

    def remove(self, name: bytes) -> None:
        """End a pin, if it is there."""
        with suppress(OSError):
            self._path(name).unlink()
        self._look_again()

    def _path(self, name: bytes) -> Path:
        return self.folder / f"{name.hex()}{SUFFIX}"


def _decode(values: Mapping[str, Any]) -> Pin:
    names = bytes.fromhex(values["digests"])
    return Pin(
        digests=tuple(names[at : at + DIGEST_BYTES] for at in range(0, len(names), DIGEST_BYTES)),
        salt_tag=values["salt_tag"],
        label=values["label"],
        created_s=float(values["created_s"]),
        expires_s=None if values["expires_s"] is None else float(values["expires_s"]),
    )
