"""`longreach list`, `rm` and `ps`."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from rich.console import Console

from longreach.cli.models import show_age
from longreach.cli.terminal import listing


def test_a_narrow_terminal_breaks_names_and_nothing_else():
    """Sizes and dates are whole at 60 columns, beside a name that is as long as they come."""
    row = (
        "Qwen/Qwen2.5-14B-Instruct-1M-of-somebody-else",
        "14.00 GiB",
        "22 minutes ago",
        "ModelScope",
    )
    table = listing("NAME", "SIZE", "MODIFIED", "FROM", folds=("NAME",))
    table.add_row(*row)
    console = Console(file=io.StringIO(), width=60)
    console.print(table)
    lines = [line.split("  ") for line in console.file.getvalue().splitlines()]
    assert [cell for cell in map(str.strip, lines[1]) if cell][1:] == list(row[1:])
    assert "".join(line[0].strip() for line in lines[1:]) == row[0]


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Two empty model caches."""
    from huggingface_hub import constants

    hub, scope = tmp_path / "hf" / "hub", tmp_path / "ms"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    monkeypatch.setenv("MODELSCOPE_CACHE", str(scope))
    return hub, scope


@pytest.fixture
def pulled(caches):
    """A model of each hub, as their clients lay them out."""
    hub, scope = caches
    repo = hub / "models--Qwen--Tiny"
    commit = "a" * 40
    (repo / "blobs").mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "snapshots" / commit).mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    (repo / "blobs" / "b1").write_text("x" * 2048)
    (repo / "snapshots" / commit / "config.json").symlink_to(repo / "blobs" / "b1")
    local = scope / "models" / "Qwen" / "Tiny1___5"
    local.mkdir(parents=True)
    (local / "config.json").write_text("{}")
    return repo, local


def listed(run):
    return {model["name"]: model for model in json.loads(run("list --json").stdout)}


def test_lists_the_shipped_model(run):
    """With empty caches there is the model that is shipped, with its size."""
    result = run("list")
    assert result.exit_code == 0, result.output
    head, row = result.stdout.splitlines()
    assert head.split() == ["NAME", "SIZE", "MODIFIED", "FROM"]
    assert row.split()[0] == "needle"
    assert "MiB" in row
    assert listed(run)["needle"]["size"] > 2**20


def test_lists_what_was_pulled(run, pulled):
    """Models of both hubs' caches, by the names that commands take."""
    models = listed(run)
    assert models["Qwen/Tiny"]["place"] == "huggingface"
    assert models["Qwen/Tiny"]["size"] == 2048
    assert models["Qwen/Tiny1.5"]["directory"] == str(pulled[1])
    assert next(iter(models)) == "needle"


@pytest.mark.parametrize(("name", "index"), [("Qwen/Tiny", 0), ("Qwen/Tiny1.5", 1)])
def test_removes_a_model(run, pulled, name, index):
    """`rm --yes` deletes the files of one model and no other's."""
    result = run(["rm", name, "--yes"])
    assert result.exit_code == 0, result.output
    assert not pulled[index].exists()
    assert pulled[1 - index].exists()
    assert name not in listed(run)


def test_asks_before_it_removes(run, pulled):
    """Without --yes nothing is deleted unless the answer is yes."""
    result = run(["rm", "Qwen/Tiny"])
    assert "delete" in result.output
    assert pulled[0].exists()


@pytest.mark.parametrize(("name", "message"), [("needle", "shipped"), ("a/b", "longreach list")])
def test_what_cannot_be_removed(run, name, message):
    """The shipped model and one that is not there are refused in one line."""
    result = run(["rm", name, "--yes"])
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "now"), (61, "1 minute ago"), (7300, "2 hours ago"), (90_000, "1 day ago")],
)
def test_ages_are_short(seconds, text):
    """The largest unit that fits, counted down."""
    assert show_age(seconds) == text


@pytest.fixture
def server(monkeypatch):
    """A server with routes path -> (status, body); `keys` are the keys it was asked with."""
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    monkeypatch.delenv("http_proxy", raising=False)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.keys.append(self.headers["Authorization"])
            status, body = self.server.routes.get(self.path, (404, {}))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.routes = {"/v1/models": (200, {"data": [{"id": "qwen", "max_model_len": 131_072}]})}
    server.keys = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_shows_what_a_server_does(run, server):
    """Its models, their context, and how many of its slots work."""
    slots = [{"id": 0, "is_processing": True}, {"id": 1, "is_processing": False}]
    server.routes["/slots"] = (200, slots)
    result = run(["ps", "--base-url", f"{server.url}/v1", "--api-key", "secret"])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].split() == ["qwen", "131,072", "1", "of", "2"]
    assert server.keys == ["Bearer secret"] * 2
    data = json.loads(run(["ps", "--base-url", server.url, "--json"]).stdout)
    assert data["slots"] == slots


def test_shows_servers_of_others(run, server):
    """A server without slots, or without a context, shows a dash there."""
    server.routes["/v1/models"] = (200, {"data": [{"id": "gpt"}]})
    result = run(["ps", "--base-url", server.url])
    assert result.stdout.splitlines()[1].split() == ["gpt", "-", "-"]


@pytest.mark.parametrize(
    ("route", "message"),
    [((401, {}), "--api-key"), ((200, []), "no list of models"), ((503, {}), "503")],
)
def test_servers_that_do_not_say(run, server, route, message):
    """A refusal is one line with what to do."""
    server.routes["/v1/models"] = route
    result = run(["ps", "--base-url", server.url])
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "file:///etc"])
def test_no_server(run, url):
    """Where none answers, the line says how to start one, or what a URL looks like."""
    result = run(["ps", "--base-url", url])
    assert result.exit_code == 2
    assert "longreach serve" in result.stderr or "http://" in result.stderr
