"""The byte alphabet of GPT-2's byte-level BPE, which every Qwen tokenizer uses.

A token is written with one printable character per byte; bytes that have no printable form are
moved to U+0100 and up.
"""

from __future__ import annotations


def _alphabet() -> dict[str, int]:
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [byte for byte in range(256) if byte not in set(printable)]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(0x100 + index): byte for index, byte in enumerate(moved)}


BYTE_OF_CHAR = _alphabet()


def token_to_bytes(token: str) -> bytes:
    """The bytes a token stands for; an added token outside the alphabet is its own UTF-8."""
    try:
        return bytes([BYTE_OF_CHAR[char] for char in token])
    except KeyError:
        return token.encode("utf-8", "surrogatepass")
