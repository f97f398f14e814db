"""The log of a server: lines for people, or one JSON object a line."""

from __future__ import annotations

import json
import logging
from asyncio import CancelledError
from datetime import UTC, datetime

from longreach.serve.settings import LogFormat

TEXT_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class JsonFormatter(logging.Formatter):
    """time, level, logger, message; fields of a request; the trace of an error."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)  # ASCII: no text can break a line or an encoding


class _QuietEnd(logging.Filter):
    """Leaves out what uvicorn says of requests that a second signal has cancelled: no errors."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write it."""
        error = record.exc_info[1] if record.exc_info else None
        told = record.getMessage().rstrip().endswith(CancelledError.__name__)
        return not (told or isinstance(error, CancelledError))


def configure_logging(log_format: LogFormat, level: str) -> None:
    """The process's log, on stderr, from `level` on."""
    handler = logging.StreamHandler()
    text = logging.Formatter(TEXT_FORMAT)
    handler.setFormatter(JsonFormatter() if log_format == "json" else text)
    logging.getLogger("uvicorn.error").addFilter(_QuietEnd())
    logging.basicConfig(level=level.upper(), handlers=[handler])
