"""A PNG file from rows of RGB bytes (ISO/IEC 15948), so that pictures of pages need no package."""

from __future__ import annotations

import struct
import zlib


def write_png(pixels: bytes, width: int, height: int, stride: int) -> bytes:
    """pixels: `height` rows of `stride` bytes, each beginning with `width` RGB triples."""
    rows = memoryview(pixels)
    size = 3 * width
    lines = b"".join(b"\0" + bytes(rows[y * stride : y * stride + size]) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB, not interlaced
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(lines, 6)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + checksum
