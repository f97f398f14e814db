"""From settings to a server that listens, loads its model meanwhile, and leaves in two steps.

bind -> listen (503 "loading") -> load in a thread -> ready -> SIGTERM: drain -> exit
                                                               again: exit at once
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections.abc import Callable
from socket import socket as Socket
from types import FrameType

import uvicorn

from longreach.engine.protocol import AsyncTextEngine
from longreach.serve.app import create_app
from longreach.serve.context import ServerContext
from longreach.serve.settings import ServerSettings
from longreach.serve.sockets import bind, unbind, url_of

logger = logging.getLogger("longreach.serve")

Loader = Callable[[], AsyncTextEngine]
_CLOSE_WITHIN_S = 5
"""For connections that are left when nothing runs any more."""


def run_server(settings: ServerSettings, load: Loader) -> None:
    """Listen until a signal or a failure. load: makes the engine; called in a thread of its own.

    Raises what `load` raised, and OSError when the address cannot be taken.
    """
    app = create_app(None, settings)
    socket = bind(settings)
    server = Server(make_config(app, settings), app.state.context, load)
    logger.info("listening on %s, loading %s", url_of(settings, socket), settings.model_name)
    try:
        server.run(sockets=[socket])
    finally:
        server.close()
        unbind(settings, socket)
    if server.failure is not None:
        raise server.failure


class Server(uvicorn.Server):
    """uvicorn's server, which loads a model once it listens, and drains before it exits."""

    def __init__(self, config: uvicorn.Config, context: ServerContext, load: Loader) -> None:
        super().__init__(config)
        self.context = context
        self.failure: BaseException | None = None
        self._load = load
        self._engine: AsyncTextEngine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[Socket] | None = None) -> None:
        """Listen, and begin to load."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        # A daemon: a signal while it loads does not have to wait for it.
        threading.Thread(target=self._load_model, name="load-model", daemon=True).start()

    def _load_model(self) -> None:
        assert self._loop is not None
        try:
            self._engine = self._load()
        except BaseException as error:  # noqa: BLE001 - raised again by run_server
            self.failure, self.should_exit = error, True
        else:
            self._loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        assert self._engine is not None
        self.context.start(self._engine)
        logger.info("ready: %s", self.context.settings.model_name)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: refuse new requests and finish those that run. Second: leave now."""
        if self._loop is None or self._engine is None or self._draining is not None:
            self.should_exit = self.force_exit = True
            return
        self._loop.call_soon_threadsafe(self._begin_drain, self._engine)

    def _begin_drain(self, engine: AsyncTextEngine) -> None:
        if self._draining is None:
            self.context.phase = "draining"
            self._draining = asyncio.ensure_future(self._drain(engine))

    async def _drain(self, engine: AsyncTextEngine) -> None:
        timeout_s = self.context.settings.shutdown_timeout
        logger.info("finishing %d requests, for %.0f s at most", self.num_running, timeout_s)
        try:
            await engine.drain(timeout_s)
            await self.context.detached.finish()
        finally:
            self.should_exit = True

    @property
    def num_running(self) -> int:
        """Requests that the engine works on."""
        return len(self.context.running)

    def close(self) -> None:
        """Stop the engine, if it was loaded, and let go of what is kept on disk."""
        if self._engine is not None:
            self._engine.close()
        self.context.close()


def make_config(app: object, settings: ServerSettings) -> uvicorn.Config:
    """uvicorn's own settings. Its access log is off: ours has the request ids."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_config=None,
        log_level=settings.uvicorn_log_level,
        access_log=False,
        server_header=False,
        timeout_keep_alive=settings.timeout_keep_alive,
        timeout_graceful_shutdown=_CLOSE_WITHIN_S,
        ssl_keyfile=settings.ssl_keyfile,
        ssl_certfile=settings.ssl_certfile,
        ssl_ca_certs=None if settings.ssl_ca_certs is None else str(settings.ssl_ca_certs),
        # With authorities named, a client must have a certificate of theirs.
        ssl_cert_reqs=ssl.CERT_NONE if settings.ssl_ca_certs is None else ssl.CERT_REQUIRED,
    )
