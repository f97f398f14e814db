"""The `longreach` script. Ctrl-C while Python still imports is no traceback either."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Entry point. Nothing is imported before a stop is understood."""
    try:
        from longreach.cli.commands import app

        app()
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped\n")
        sys.exit(128 + signal.SIGINT)
