"""The page at /: files that were built from `web/`, as they are. It talks to the other routes.

Open to all: the page holds nothing, and asks for the key itself. What it may do is fixed by a
content security policy: its own files and its own server, no inline script or style, no frame.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

ROOT = Path(__file__).parents[1] / "web"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)
_SAFE = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
_NOW_AND_THEN = "no-cache"
_FOR_EVER = "public, max-age=31536000, immutable"
"""The names of assets change with what is in them."""

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Asset:
    """A file as it is sent. compressed: by gzip; None where that saves nothing."""

    content: bytes
    compressed: bytes | None
    media_type: str
    tag: str


@cache
def _assets() -> dict[str, Path]:
    """The built files by their names. Nothing else is ever opened, whatever is asked for."""
    return {path.relative_to(ROOT).as_posix(): path for path in ROOT.rglob("*") if path.is_file()}


@cache
def _load(name: str) -> Asset:
    path = _assets()[name]
    content = path.read_bytes()
    compressed = gzip.compress(content, mtime=0)
    return Asset(
        content=content,
        compressed=compressed if len(compressed) < 0.9 * len(content) else None,
        media_type=_TYPES[path.suffix],
        tag=f'"{hashlib.sha256(content).hexdigest()[:32]}"',
    )


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """The page."""
    return _answer(request, "index.html", _NOW_AND_THEN)


@router.api_route("/licenses.txt", methods=["GET", "HEAD"])
async def licenses(request: Request) -> Response:
    """The licences of what the page is made of."""
    return _answer(request, "licenses.txt", _NOW_AND_THEN)


@router.api_route("/assets/{name}", methods=["GET", "HEAD"])
async def asset(request: Request, name: str) -> Response:
    """Its scripts, styles and fonts; 404 for anything else."""
    return _answer(request, f"assets/{name}", _FOR_EVER)


def _answer(request: Request, name: str, caching: str) -> Response:
    """The file, compressed for who can read that, or 304 for who has it already."""
    if name not in _assets():
        raise HTTPException(404)
    found = _load(name)
    headers = {**_SAFE, "Cache-Control": caching, "ETag": found.tag, "Vary": "Accept-Encoding"}
    if found.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    content = found.content
    if found.compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        content, headers["Content-Encoding"] = found.compressed, "gzip"
    return Response(content, headers=headers, media_type=found.media_type)
