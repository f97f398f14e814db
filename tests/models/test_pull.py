import json
import os
import shutil
import subprocess
import sys
import types
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest

from longreach.errors import (
    CheckpointError,
    ConfigError,
    InvalidRequestError,
    MemoryPlanError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from longreach.models.pull import SPARE_BYTES, RemoteFile, check_room, is_wanted, make_hub, pull

COMMIT = "c" * 40


class Usage(NamedTuple):
    total: int
    used: int
    free: int


class FakeHub:
    """Serves the files of a folder, and remembers what was asked for."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.downloads = []

    def files(self, model, revision):
        paths = [p for p in sorted(self.source.rglob("*")) if p.is_file()]
        sizes = [(str(p.relative_to(self.source)), p.stat().st_size) for p in paths]
        return [
            RemoteFile(name, size, 0 if (self.target / name).exists() else size)
            for name, size in sizes
        ]

    def download(self, model, revision, names):
        self.downloads.append(list(names))
        self.target.mkdir(exist_ok=True)
        for name in names:
            shutil.copy(self.source / name, self.target / name)
        return self.target

    def cache(self):
        return self.target


@pytest.fixture
def hub(tiny_qwen2, tmp_path):
    source = tmp_path / "remote"
    shutil.copytree(tiny_qwen2, source)
    for name in ("pytorch_model.bin", "modeling.py", "onnx/model.safetensors", "README.md"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(b"x" * 100)
    return FakeHub(source, tmp_path / "cache")


def test_pull_fetches_what_runs_and_nothing_else(hub):
    """First config.json, then weights, settings, tokenizer; no pickles, code or other folders."""
    directory = pull("a/b", hub=hub)
    assert hub.downloads[0] == ["config.json"]
    got = {p.name for p in directory.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= got
    assert not got & {"pytorch_model.bin", "modeling.py", "README.md", "onnx"}


def test_pull_checks_the_disk_first(hub, monkeypatch):
    """Too little room raises MemoryPlanError with both numbers before any weight is fetched."""
    usage = Usage(2**40, 0, SPARE_BYTES + 1000)
    monkeypatch.setattr("longreach.models.pull.shutil.disk_usage", lambda path: usage)
    with pytest.raises(MemoryPlanError, match="HF_HOME") as caught:
        pull("a/b", hub=hub)
    assert caught.value.available == 1000
    assert (
        caught.value.needed
        == sum(f.missing for f in hub.files("", "") if is_wanted(f.name))
        + (hub.source / "config.json").stat().st_size
    )
    assert hub.downloads == [["config.json"]]


def test_files_that_are_there_need_no_room(hub, monkeypatch):
    """A model that is in the cache already is pulled again on a full disk."""
    pull("a/b", hub=hub)
    monkeypatch.setattr(
        "longreach.models.pull.shutil.disk_usage", lambda path: Usage(2**40, 2**40, 0)
    )
    assert pull("a/b", hub=hub) == hub.target


def test_room_is_asked_of_a_disk_that_exists(tmp_path):
    """The cache folder need not exist yet."""
    check_room(1, tmp_path / "not" / "yet")
    with pytest.raises(MemoryPlanError):
        check_room(2**80, tmp_path / "not" / "yet")


def test_a_model_that_cannot_run_is_refused_before_its_weights(hub):
    """An unsupported architecture costs one small file, not gigabytes."""
    config = json.loads((hub.source / "config.json").read_text())
    config["architectures"] = ["MambaForCausalLM"]
    (hub.source / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModelError, match="MambaForCausalLM"):
        pull("a/b", hub=hub)
    assert hub.downloads == [["config.json"]]
    (hub.source / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json"):
        pull("a/b", hub=hub)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_repository_without_the_needed_files_is_refused(hub, name):
    """No config.json or no safetensors: CheckpointError that says which."""
    (hub.source / name).unlink()
    with pytest.raises(CheckpointError, match=name.replace("model", r"\*")):
        pull("a/b", hub=hub)


@pytest.mark.parametrize("model", ["needle", "/tmp/x", "a/b/c", "", "a/b?"])
def test_only_ids_are_pulled(model):
    """Anything but owner/name is refused with a ValueError."""
    with pytest.raises(InvalidRequestError, match="owner/name"):
        pull(model)


def test_an_unknown_source_is_refused():
    """The error lists the sources there are."""
    with pytest.raises(InvalidRequestError, match="huggingface, modelscope"):
        make_hub("ftp")


def test_modelscope_is_an_extra(monkeypatch):
    """Without the package the error says what to install."""
    monkeypatch.setitem(sys.modules, "modelscope", None)
    monkeypatch.setitem(sys.modules, "modelscope.hub.api", None)
    with pytest.raises(ModelNotFoundError, match=r"longreach\[modelscope\]"):
        pull("a/b", source="modelscope")


def test_modelscope_is_asked_through_its_client(hub, monkeypatch):
    """--source modelscope lists and fetches with ModelScope's own client, in its own cache."""
    asked = []

    class HubApi:
        def get_model_files(self, model, revision, recursive):
            asked.append((model, revision, recursive))
            files = [{"Path": f.name, "Size": f.size, "Type": "blob"} for f in hub.files("", "")]
            return [*files, {"Path": "onnx", "Type": "tree"}]

    def snapshot_download(model, revision, allow_patterns):
        return str(hub.download(model, revision, allow_patterns))

    package, sub, api = (types.ModuleType(n) for n in ("modelscope", "hub", "api"))
    package.snapshot_download = snapshot_download
    api.HubApi = HubApi
    for name, module in (
        ("modelscope", package), ("modelscope.hub", sub), ("modelscope.hub.api", api)
    ):  # fmt: skip
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("MODELSCOPE_CACHE", str(hub.target))
    assert pull("Qwen/x", source="modelscope", revision="v1") == hub.target
    assert asked == [("Qwen/x", "v1", True)]
    assert make_hub("modelscope").cache() == hub.target


class Handler(BaseHTTPRequestHandler):
    """The requests of Hugging Face's protocol that a download makes: info, tree, files."""

    def __init__(self, folder, *args):
        self.folder = folder
        super().__init__(*args)

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        path = self.path.split("?")[0]
        names = sorted(p.name for p in self.folder.iterdir())
        sizes = {name: (self.folder / name).stat().st_size for name in names}
        if path.startswith("/api/models/tiny/model/tree/"):
            tree = [{"type": "file", "path": n, "size": s, "oid": n} for n, s in sizes.items()]
            return self.send(json.dumps(tree).encode(), "application/json", body=body)
        if path.startswith("/api/models/tiny/model"):
            siblings = [{"rfilename": n, "size": s, "blobId": n} for n, s in sizes.items()]
            info = {"id": "tiny/model", "sha": COMMIT, "siblings": siblings}
            return self.send(json.dumps(info).encode(), "application/json", body=body)
        file = self.folder / path.rsplit("/", 1)[-1]
        if f"/tiny/model/resolve/{COMMIT}/" in path and file.is_file():
            return self.send(file.read_bytes(), "application/octet-stream", body=body)
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        return self.end_headers()

    def send(self, data, kind, *, body):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{len(data):032x}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def endpoint(tiny_qwen2):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, tiny_qwen2))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


CALL = """
from longreach.errors import LongreachError
from longreach.models.pull import pull
from longreach.models.registry import resolve_model
try:
    print(pull("tiny/model"))
    print(resolve_model("tiny/model"))
    pull("tiny/absent")
except LongreachError as error:
    print(type(error).__name__, error)
"""


def test_pull_speaks_to_a_hub_and_honours_its_variables(endpoint, tiny_qwen2, tmp_path):
    """With HF_ENDPOINT and HF_HOME set, files come from that server and land in that folder."""
    source = Path(sys.modules["longreach"].__file__).parents[1]
    environment = os.environ | {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": str(source),
    }
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stderr
    assert lines[0] == lines[1]
    directory = Path(lines[0])
    assert directory.is_relative_to(tmp_path / "home")
    weights = "model.safetensors"
    assert (directory / weights).read_bytes() == (tiny_qwen2 / weights).read_bytes()
    assert lines[2].startswith("ModelNotFoundError tiny/absent: ")
