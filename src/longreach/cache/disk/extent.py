"""The file of an extent: consecutive pages of one prefix chain, as plain safetensors.

    name      first 128 bits of SHA-256 over the header, in hexadecimal: proves the header
    header    safetensors' own, with everything about the pages as metadata: proves the data
    k, v      [layers, KV heads, tokens, head dim], as in the pool

Truncated, torn, altered and foreign files are so found out: by size and name when the folder is
read, by the checksum whenever pages are.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longreach.cache.disk.files import Buffers, read_all, write_file
from longreach.cache.hashing import PageName
from longreach.cache.provenance import Provenance
from longreach.errors import CacheFileError

FORMAT = "longreach extent 2"
SUFFIX = ".safetensors"
DIGEST_BYTES, ID_BYTES = 32, 4
EXTENT_TOKENS = 4096
MAX_EXTENT_BYTES = 16 * 2**20
_MAX_HEADER = 2**20
_ALIGNMENT = 64
_WIDTHS = {"BF16": 2, "F16": 2, "F32": 4}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The shape of a page. dtype: in safetensors' spelling."""

    dtype: str
    num_layers: int
    num_kv_heads: int
    head_dim: int
    page_size: int

    @property
    def bytes_per_page(self) -> int:
        """Keys and values of all layers."""
        row = self.num_kv_heads * self.head_dim * _WIDTHS[self.dtype]
        return 2 * self.num_layers * self.page_size * row

    @property
    def pages_per_extent(self) -> int:
        """Some 4096 tokens, fewer where these are large: the unit of reading must stay short."""
        by_tokens = max(EXTENT_TOKENS // self.page_size, 1)
        return max(min(by_tokens, MAX_EXTENT_BYTES // self.bytes_per_page), 1)

    def shape(self, num_pages: int) -> list[int]:
        """Of the keys, and of the values, of so many pages."""
        return [self.num_layers, self.num_kv_heads, num_pages * self.page_size, self.head_dim]


@dataclass(frozen=True, kw_only=True)
class Header:
    """What is known of the pages of an extent.

    first_page: its place in the chain. parent: the digest before it (the chain's seed for the first
    one). tokens: ids of each page as int32; the last may be unfinished. made: how each page was.
    salt_tag: see `pins.salt_tag`. checksum: CRC-32 of the data.
    """

    layout: Layout
    first_page: int
    parent: bytes
    digests: tuple[bytes, ...]
    tokens: tuple[bytes, ...]
    made: tuple[Provenance, ...]
    salt_tag: str
    created_s: float
    checksum: int = 0

    @property
    def num_pages(self) -> int:
        """Pages of the extent."""
        return len(self.digests)

    @property
    def num_tokens(self) -> int:
        """Tokens whose keys and values its pages hold."""
        return sum(map(len, self.tokens)) // ID_BYTES

    def name_of(self, place: int) -> PageName:
        """The name of one of its pages."""
        parent = self.digests[place - 1] if place else self.parent
        is_first = self.first_page + place == 0
        return PageName(self.digests[place], parent, self.tokens[place], is_first)

    @property
    def num_bytes(self) -> int:
        """Of its data."""
        return self.num_pages * self.layout.bytes_per_page


@dataclass(eq=False)
class Extent:
    """A file whose header was read. size: of the file. used_ns: last use known, Unix time."""

    path: Path
    header: Header = field(repr=False)
    data_at: int
    size: int
    used_ns: int


def checksum_of(buffers: Iterable[memoryview]) -> int:
    """CRC-32 over buffers as if they were one."""
    value = 0
    for buffer in buffers:
        value = zlib.crc32(buffer, value)
    return value


def file_size(header: Header) -> int:
    """Bytes of the file that `write_extent` makes."""
    return 8 + len(encode(header, 0)) + header.num_bytes


def write_extent(folder: Path, header: Header, buffers: Buffers) -> Extent:
    """Write an extent; its header's checksum is that of `buffers`. Raises OSError."""
    text = encode(header, checksum_of(buffers))
    path = folder / name_of(text)
    write_file(path, [len(text).to_bytes(8, "little"), text, *buffers])
    return read_header(path)


def read_pages(extent: Extent, buffers: Buffers) -> None:
    """Fill the buffers with all data of an extent.

    Raises CacheFileError when they are not what was written, and OSError when nobody can say now.
    """
    handle = os.open(extent.path, os.O_RDONLY)
    try:
        count = read_all(handle, buffers, extent.data_at)
    except OSError as error:
        raise _fault(extent.path, error) from error
    finally:
        os.close(handle)
    if count != extent.header.num_bytes:
        raise CacheFileError(f"{extent.path}: {count} bytes, {extent.header.num_bytes} expected")
    if checksum_of(buffers) != extent.header.checksum:
        raise CacheFileError(f"{extent.path}: its data do not match its checksum")


def read_header(path: Path) -> Extent:
    """What a file says it holds.

    Raises CacheFileError when it is no extent, and OSError when it is gone or not to be read now.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            text = file.read(length) if length <= _MAX_HEADER else b""
            status = os.fstat(file.fileno())
    except OSError as error:
        raise _fault(path, error) from error
    if len(text) != length or name_of(text) != path.name:
        raise CacheFileError(f"{path}: its name is not that of its header")
    header = _decode(path, text)
    data_at = 8 + length
    if status.st_size != data_at + header.num_bytes:
        raise CacheFileError(
            f"{path}: {status.st_size} bytes, {data_at + header.num_bytes} expected"
        )
    return Extent(path, header, data_at, status.st_size, status.st_mtime_ns)


def _fault(path: Path, error: OSError) -> Exception:
    """A disk that cannot read a file has lost it; any other error may pass."""
    return CacheFileError(f"{path}: {error.strerror}") if error.errno == errno.EIO else error


def name_of(text: bytes) -> str:
    """The name of the file that begins with this header."""
    return hashlib.sha256(text).hexdigest()[:DIGEST_BYTES] + SUFFIX


def encode(header: Header, checksum: int) -> bytes:
    """The header as safetensors has it, padded so that the data are aligned."""
    layout, kinds = header.layout, list(dict.fromkeys(header.made))
    half = header.num_bytes // 2
    tensor = {"dtype": layout.dtype, "shape": layout.shape(header.num_pages)}
    metadata = {
        "format": FORMAT,
        "page_size": str(layout.page_size),
        "first_page": str(header.first_page),
        "parent": header.parent.hex(),
        "digests": b"".join(header.digests).hex(),
        "tokens": b64encode(b"".join(header.tokens)).decode(),
        "kinds": json.dumps([_plain(kind) for kind in kinds]),
        "made": json.dumps([kinds.index(made) for made in header.made]),
        "salt_tag": header.salt_tag,
        "created_s": repr(header.created_s),
        "crc32": f"{checksum:08x}",
    }
    text = json.dumps(
        {
            "__metadata__": metadata,
            "k": tensor | {"data_offsets": [0, half]},
            "v": tensor | {"data_offsets": [half, 2 * half]},
        },
        separators=(",", ":"),
    ).encode()
    return text + b" " * (-(8 + len(text)) % _ALIGNMENT)


def _decode(path: Path, text: bytes) -> Header:
    try:
        return decode(text)
    except (KeyError, TypeError, ValueError) as error:
        raise CacheFileError(f"{path}: no {FORMAT}: {error!r}") from error


def decode(text: bytes) -> Header:
    """The header that `encode` wrote. Raises KeyError, TypeError, ValueError for others."""
    values = json.loads(text)
    metadata, tensor = values["__metadata__"], values["k"]
    if metadata["format"] != FORMAT:
        raise ValueError(metadata["format"])
    layers, heads, _, head_dim = tensor["shape"]
    layout = Layout(
        dtype=tensor["dtype"],
        num_layers=layers,
        num_kv_heads=heads,
        head_dim=head_dim,
        page_size=int(metadata["page_size"]),
    )
    names, ids = bytes.fromhex(metadata["digests"]), b64decode(metadata["tokens"])
    step = layout.page_size * ID_BYTES
    kinds = [_provenance(kind) for kind in json.loads(metadata["kinds"])]
    return Header(
        layout=layout,
        first_page=int(metadata["first_page"]),
        parent=bytes.fromhex(metadata["parent"]),
        digests=tuple(names[at : at + DIGEST_BYTES] for at in range(0, len(names), DIGEST_BYTES)),
        tokens=tuple(ids[at : at + step] for at in range(0, len(ids), step)),
        made=tuple(kinds[kind] for kind in json.loads(metadata["made"])),
        salt_tag=metadata["salt_tag"],
        created_s=float(metadata["created_s"]),
        checksum=int(metadata["crc32"], 16),
    )


def _plain(made: Provenance) -> list[Any]:
    return [
        made.mode,
        made.target,
        list(made.budget),
        made.selection_version,
        made.recall_min,
        made.recall_mean,
    ]


def _provenance(plain: list[Any]) -> Provenance:
    mode, target, budget, version, recall_min, recall_mean = plain
    return Provenance(
        mode=mode,
        target=target,
        budget=tuple(budget),
        selection_version=version,
        recall_min=recall_min,
        recall_mean=recall_mean,
    )
