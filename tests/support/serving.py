"""A real server on a real socket, in a thread of the test."""

import asyncio
import threading
import time
from contextlib import contextmanager

import httpx2

from longreach.serve.app import create_app
from longreach.serve.run import Server, make_config
from longreach.serve.settings import ServerSettings
from longreach.serve.sockets import bind, unbind, url_of


class Serving:
    """url: where it listens. server: the thing itself. thread: where it runs."""

    def __init__(self, load, settings):
        self.settings = settings
        self.socket = bind(settings)
        self.url = url_of(settings, self.socket)
        app = create_app(None, settings)
        self.server = Server(make_config(app, settings), app.state.context, load)
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True
        )

    def get(self, path):
        return httpx2.get(self.url + path, timeout=10)

    def wait_until_ready(self, timeout_s=120):
        end = time.monotonic() + timeout_s
        while self.get("/ready").status_code != 200:
            assert time.monotonic() < end, "never ready"
            assert self.server.failure is None, self.server.failure
            time.sleep(0.02)


@contextmanager
def serving(load, **settings):
    """A server over the engine that `load` makes; gone at the end."""
    server = Serving(load, ServerSettings(port=0, **settings))
    server.thread.start()
    try:
        yield server
    finally:
        server.server.should_exit = server.server.force_exit = True
        server.thread.join(30)
        server.server.close()
        unbind(server.settings, server.socket)


@contextmanager
def live_server(engine, **settings):
    """The address of a server over this engine that is ready."""
    with serving(lambda: engine, **settings) as server:
        server.wait_until_ready()
        yield server.url


class Gate:
    """Holds a fake engine back until the test's thread opens it."""

    def __init__(self):
        self._is_open = threading.Event()

    def open(self):
        self._is_open.set()

    async def wait(self):
        while not self._is_open.is_set():  # noqa: ASYNC110 - opened by another thread
            await asyncio.sleep(0.005)
