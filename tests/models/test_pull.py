import shutil
from types import SimpleNamespace

import huggingface_hub
import pytest

from longreach.errors import (
    InvalidRequestError,
    ModelError,
    ModelNotFoundError,
    UnsupportedError,
)
from longreach.models import pull as module
from longreach.models.pull import check_disk, is_wanted, pull

FILES = {"config.json": 100, "model.safetensors": 5000, "pytorch_model.bin": 9000, "x/y.json": 1}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hugging Face client that lists FILES and notes what it was asked to fetch."""
    asked = {}

    def model_info(self, model, *, revision, files_metadata):
        siblings = [SimpleNamespace(rfilename=n, size=s) for n, s in FILES.items()]
        return SimpleNamespace(siblings=siblings)

    def snapshot_download(model, **options):
        asked.update(options, model=model)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def test_only_what_is_read_is_fetched(hub, tmp_path):
    """Safetensors, configurations and tokenizer files; never pickle, never a subfolder."""
    said = []
    assert pull("owner/name", to=tmp_path, report=said.append) == tmp_path
    assert hub["allow_patterns"] == ["config.json", "model.safetensors"]
    assert hub["local_dir"] == tmp_path
    assert "2 files" in said[0]


@pytest.mark.parametrize("name", ["name", "owner/name/more", "../x", "owner/na me"])
def test_what_is_no_id_is_refused(name):
    """The id is checked before any hub is asked."""
    with pytest.raises(InvalidRequestError, match="owner/name"):
        pull(name)


def test_an_unknown_source_is_refused():
    """The error lists the hubs there are."""
    with pytest.raises(InvalidRequestError, match="huggingface, modelscope"):
        pull("owner/name", source="floppy")


def test_a_full_disk_is_found_before_the_download(hub, monkeypatch, tmp_path):
    """Not enough room: an error with both numbers, and nothing is fetched."""
    usage = SimpleNamespace(free=2**28)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ModelError, match=r"needs 0\.00 GiB in .* which has 0\.25 GiB free"):
        pull("owner/name", to=tmp_path / "not" / "there")
    assert not hub


def test_files_that_are_there_need_no_room(hub, monkeypatch, tmp_path):
    """A download that goes on counts only what is missing."""
    (tmp_path / "config.json").write_bytes(b"x" * 100)
    (tmp_path / "model.safetensors").write_bytes(b"x" * 5000)
    needed = []
    monkeypatch.setattr(module, "check_disk", lambda model, size, target: needed.append(size))
    pull("owner/name", to=tmp_path)
    assert needed == [0]


def test_a_hubs_error_becomes_one_line(hub, monkeypatch):
    """Whatever the client raises, the user reads its first line and which model and hub."""

    def refuse(self, *args, **kwargs):
        raise OSError("401 Client Error.\n\nRepository Not Found for url ...")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    with pytest.raises(ModelNotFoundError) as caught:
        pull("owner/name")
    text = "owner/name cannot be downloaded from Hugging Face: 401 Client Error."
    assert str(caught.value) == text


def test_a_model_without_safetensors_is_refused(hub, monkeypatch):
    """Pickled weights alone are no model to us."""
    monkeypatch.setattr(module, "is_wanted", lambda name: name.endswith(".json"))
    with pytest.raises(ModelNotFoundError, match="no safetensors"):
        pull("owner/name")


def test_without_modelscope_the_extra_is_named(monkeypatch):
    """The error says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "modelscope.hub.api", None)
    with pytest.raises(UnsupportedError, match=r"longreach\[modelscope\]"):
        pull("owner/name", source="modelscope")


def test_names_that_are_wanted():
    """One look at the rule."""
    names = ("a.safetensors", "tokenizer.json", "chat_template.jinja", "merges.txt", "LICENSE")
    assert all(map(is_wanted, names))
    assert not any(map(is_wanted, ("a.bin", "a.py", "a.pt", "sub/a.json", "flax_model.msgpack")))


def test_room_is_measured_where_the_folder_will_be(tmp_path):
    """A target that does not exist yet is measured at its nearest parent."""
    check_disk("owner/name", 0, tmp_path / "a" / "b")
