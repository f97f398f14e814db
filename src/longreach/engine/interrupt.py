"""Ctrl-C as a flag that the engine polls, so that it never cuts bookkeeping in two."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Self


class InterruptFlag:
    """While entered, the first Ctrl-C only sets `is_set`; a second one raises at once.

    Does nothing outside the main thread, or where the program has its own handler.
    """

    def __init__(self) -> None:
        self.is_set = False
        self._installed = False

    def __enter__(self) -> Self:
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._on_signal)
            self._installed = True
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._installed = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.is_set:
            raise KeyboardInterrupt
        self.is_set = True

    def check(self) -> bool:
        """`is_set`, for polling."""
        return self.is_set

    def raise_if_set(self) -> None:
        """Raise the KeyboardInterrupt that was held back."""
        if self.is_set:
            raise KeyboardInterrupt
