"""The socket of a server: taken before anything else, so that a taken address is a clear error."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

from longreach.serve.settings import ServerSettings

BACKLOG = 2048


def bind(settings: ServerSettings) -> socket.socket:
    """A socket that listens: who connects from now on waits until it is served. Raises OSError."""
    bound = _bind_tcp(settings) if settings.uds is None else _bind_unix(Path(settings.uds))
    bound.listen(BACKLOG)
    return bound


def _bind_tcp(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((settings.host, settings.port))
    except OSError as error:
        bound.close()
        message = f"cannot listen on {settings.host}:{settings.port}: {error.strerror}"
        raise OSError(error.errno, message) from error
    return bound


def _bind_unix(path: Path) -> socket.socket:
    """Takes the place of a socket that a killed server left behind, and of no other file."""
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _is_alive(path):
        path.unlink()
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(str(path))
    except OSError as error:
        bound.close()
        raise OSError(error.errno, f"cannot listen on {path}: {error.strerror}") from error
    return bound


def _is_alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def unbind(settings: ServerSettings, bound: socket.socket) -> None:
    """Give the address back."""
    bound.close()
    if settings.uds is not None:
        Path(settings.uds).unlink(missing_ok=True)


def url_of(settings: ServerSettings, bound: socket.socket) -> str:
    """Where clients find the server."""
    if settings.uds is not None:
        return f"unix:{settings.uds}"
    scheme = "http" if settings.ssl_certfile is None else "https"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{bound.getsockname()[1]}"
