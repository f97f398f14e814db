"""Documents that were read stay known while there is room."""

import asyncio
import base64
import io

import numpy as np
import pytest

from longreach.documents import Limits, read_document
from longreach.errors import EmptyDocumentError
from longreach.serve.documents import library as module
from longreach.serve.documents.library import DocumentLibrary, decode
from longreach.serve.documents.prefixes import DocumentPrefixes
from longreach.serve.errors import ApiError
from longreach.serve.files.storage import FileStore


@pytest.fixture
def files(tmp_path):
    return FileStore(tmp_path)


def add(files, content, name="a.txt"):
    return files.add("me", io.BytesIO(content), filename=name, purpose="user_data")


@pytest.fixture
def reads(monkeypatch):
    """Names of what is read from now on."""
    seen = []

    def noted(source, *, name, limits):
        seen.append(name)
        return read_document(source, name=name, limits=limits)

    monkeypatch.setattr(module, "read_document", noted)
    return seen


def test_the_least_recent_goes_first(files, reads):
    """What is kept together has at most so many characters; the newest always stays."""

    async def look():
        library = DocumentLibrary(files, Limits(), max_chars=200)
        for name in ("0", "1", "0", "2", "0", "1", "big", "big"):
            text = b"y" * 1000 if name == "big" else b"x" * 60
            data = base64.b64encode(text).decode()
            part = {"type": "input_file", "file_data": data, "filename": f"{name}.txt"}
            await library.of_part("me", part, "part")

    asyncio.run(look())
    assert reads == ["0.txt", "1.txt", "2.txt", "1.txt", "big.txt"]


def test_what_cannot_be_read_is_known_too(files, reads):
    """A list with a bad file in it does not read that file again and again."""
    empty = add(files, b"")

    async def look():
        library = DocumentLibrary(files, Limits())
        for _ in range(3):
            with pytest.raises(EmptyDocumentError):
                await library.of_file(empty)
        library.forget(empty)
        with pytest.raises(EmptyDocumentError):
            await library.of_file(empty)

    asyncio.run(look())
    assert len(reads) == 2


def test_the_same_file_at_the_same_time_is_read_once(files, reads):
    """Who comes second waits for the first."""
    file = add(files, b"text")

    async def look():
        library = DocumentLibrary(files, Limits())
        found = await asyncio.gather(*(library.of_file(file) for _ in range(8)))
        assert len({id(each.document) for each in found}) == 1

    asyncio.run(look())
    assert len(reads) == 1


def test_what_was_read_outlives_the_library(files, reads, tmp_path):
    """A new one finds it beside the file, until the file is deleted; another version reads anew."""
    file = add(files, b"one\ntwo")

    def look():
        library = DocumentLibrary(files, Limits())
        return asyncio.run(library.of_file(file)).document

    first = look()
    assert look() == first == read_document(b"one\ntwo", name="a.txt")
    assert reads == ["a.txt"]
    note = files.note_of(file.id)
    assert note.stat().st_mode & 0o777 == 0o600
    for broken in (b"", b"[]", b'{"version": "0", "document": {}}', note.read_bytes()[:-9]):
        note.write_bytes(broken)
        assert look() == first
    assert len(reads) == 5
    files.delete("me", file.id)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("file-")] == []


@pytest.mark.parametrize(
    ("text", "data", "extension"),
    [
        ("aGk=", b"hi", ""),
        ("aG\nk=", b"hi", ""),
        ("data:application/pdf;base64,aGk=", b"hi", ".pdf"),
        ("DATA:text/plain;charset=utf-8;BASE64,aGk=", b"hi", ".txt"),
        ("data:;base64,aGk=", b"hi", ""),
        ("", b"", ""),
    ],
)
def test_spellings_of_base64(text, data, extension):
    """Bare, with line ends, or a data URL with any type."""
    assert decode(text, "file_data") == (data, extension)


@pytest.mark.parametrize("text", ["a", "aGk", "häh=", "data:text/plain,hi", "data:"])
def test_what_is_no_base64(text):
    """400 with the field."""
    with pytest.raises(ApiError) as caught:
        decode(text, "file_data")
    assert (caught.value.status, caught.value.param) == (400, "file_data")


def test_prefixes_are_bounded():
    """The least recent go; what is forgotten makes room."""
    prefixes = DocumentPrefixes(max_tokens=25)
    for name in "abc":
        prefixes.put(name, np.zeros(10, np.int32))
    assert [prefixes.get(name) is None for name in "abc"] == [True, False, False]
    prefixes.forget("b")
    prefixes.put("d", np.zeros(10, np.int32))
    assert prefixes.get("c") is not None
    prefixes.put("e", np.zeros(99, np.int32))
    assert [prefixes.get(name) is None for name in "cde"] == [True, True, False]
