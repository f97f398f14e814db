"""A server's life: it listens before its model is there, and finishes what it began."""

import asyncio
import signal
import socket
import sqlite3
import threading
import time

import httpx2
import pytest

from longreach.errors import InvalidRequestError, ModelNotFoundError
from longreach.serve.run import run_server
from longreach.serve.settings import ServerSettings
from longreach.serve.sockets import bind, unbind, url_of
from support.fake_async_engine import FakeAsyncEngine
from support.serving import serving

CHAT = {"messages": [{"role": "user", "content": "hi"}], "stream": True}


class SlowEngine(FakeAsyncEngine):
    """Drains as the real one: waits for what runs."""

    async def drain(self, timeout_s=None):
        self.is_draining = True
        self.gate.set()
        await asyncio.sleep(0.2)


def test_the_socket_is_open_while_the_model_loads():
    """503 at once, 200 later, in the same process."""
    loaded = threading.Event()

    def load():
        loaded.wait(30)
        return FakeAsyncEngine()

    with serving(load) as server:
        response = server.get("/health")
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "model_loading"
        loaded.set()
        server.wait_until_ready()
        assert server.get("/v1/models").status_code == 200


def test_a_model_that_does_not_load_ends_the_server():
    """run_server raises what loading raised."""

    def load():
        raise ModelNotFoundError("no such model")

    with pytest.raises(ModelNotFoundError, match="no such model"):
        run_server(ServerSettings(port=0), load)


def test_a_taken_address_is_a_clear_error():
    """Before anything is loaded."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
            run_server(ServerSettings(port=port), FakeAsyncEngine)


def test_the_first_signal_drains():
    """New requests get 503, the one that runs is finished, then the server is gone."""
    engine = SlowEngine(gate=asyncio.Event(), free_pieces=3)
    with serving(lambda: engine) as server:
        server.wait_until_ready()
        with httpx2.stream("POST", server.url + "/v1/chat/completions", json=CHAT) as response:
            lines = response.iter_lines()
            assert "assistant" in next(lines)
            server.server.handle_exit(signal.SIGTERM, None)
            rest = "\n".join(lines)
        assert "[DONE]" in rest
        server.thread.join(10)
        assert not server.thread.is_alive()
        assert engine.aborted == []


def test_the_second_signal_does_not_wait():
    """What runs is dropped."""

    class Stuck(FakeAsyncEngine):
        async def drain(self, timeout_s=None):
            self.is_draining = True
            await asyncio.Event().wait()

    engine = Stuck(gate=asyncio.Event(), free_pieces=3)
    with serving(lambda: engine) as server:
        server.wait_until_ready()
        with httpx2.stream("POST", server.url + "/v1/chat/completions", json=CHAT) as response:
            assert "assistant" in next(response.iter_lines())
            server.server.handle_exit(signal.SIGTERM, None)
            while not engine.is_draining:
                time.sleep(0.01)
            assert server.get("/ready").status_code == 503
            server.server.handle_exit(signal.SIGTERM, None)
            server.thread.join(10)
            assert not server.thread.is_alive()


@pytest.mark.parametrize("half", [True, False])
def test_a_socket_that_closes_or_half_closes_cancels(half):
    """The engine is told within moments, though nothing was being sent."""
    engine = FakeAsyncEngine(gate=asyncio.Event(), steps=0)
    body = b'{"messages": [{"role": "user", "content": "hi"}]}'
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    with serving(lambda: engine) as server:
        server.wait_until_ready()
        with socket.create_connection(server.socket.getsockname()) as connection:
            connection.sendall(head + body)
            while not engine.requests:
                time.sleep(0.01)
            if half:
                connection.shutdown(socket.SHUT_WR)
            else:
                connection.close()
            end = time.monotonic() + 10
            while not engine.aborted:
                assert time.monotonic() < end
                time.sleep(0.01)


def test_a_unix_socket(tmp_path):
    """Served there, cleaned up after, and a dead one's place is taken."""
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with serving(FakeAsyncEngine, uds=str(path)) as server:
        assert server.url == f"unix:{path}"
        with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(path))) as client:
            while client.get("http://x/ready").status_code != 200:
                time.sleep(0.01)
        with pytest.raises(OSError, match="cannot listen on"):
            bind(ServerSettings(uds=str(path)))
    assert not path.exists()


def test_a_file_is_not_taken_for_a_dead_socket(tmp_path):
    """Only sockets are replaced."""
    path = tmp_path / "data"
    path.write_text("mine")
    with pytest.raises(OSError, match="cannot listen on"):
        bind(ServerSettings(uds=str(path)))
    assert path.read_text() == "mine"


def test_urls_are_as_one_types_them():
    """IPv6 in brackets, https with a certificate."""
    settings = ServerSettings(host="127.0.0.1", port=0)
    bound = bind(settings)
    assert url_of(settings, bound) == f"http://127.0.0.1:{bound.getsockname()[1]}"
    unbind(settings, bound)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("port", 70000),
        ("served_model_names", ()),
        ("api_keys", ("",)),
        ("sse_keep_alive_interval", -1),
        ("max_body_bytes", 0),
    ],
)
def test_settings_that_cannot_be_obeyed(field, value):
    """Named, with what was expected."""
    with pytest.raises(InvalidRequestError, match=field):
        ServerSettings(**{field: value})


def test_keys_are_not_shown():
    """Neither in a repr, which is what logs print."""
    assert "hush" not in repr(ServerSettings(api_keys=("hush",), secret=b"hush"))


def test_what_is_kept_on_disk_is_let_go_of(tmp_path):
    """A server that has ended holds no database open."""
    with serving(FakeAsyncEngine, state_dir=tmp_path) as server:
        server.wait_until_ready()
        assert server.get("/v1/files").status_code == 200
        context = server.server.context
        store, files = context.store, context.files
        server.server.handle_exit(signal.SIGTERM, None)
        server.thread.join(10)
    for closed in (store, files):
        with pytest.raises(sqlite3.ProgrammingError):
            closed._database.run("SELECT 1")
