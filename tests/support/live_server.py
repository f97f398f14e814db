"""A server on a real socket, in a thread of the test."""

import threading
from contextlib import contextmanager

import uvicorn

from longreach.serve.app import create_app
from longreach.serve.settings import ServerSettings


class _Server(uvicorn.Server):
    def __init__(self, config):
        super().__init__(config)
        self.is_listening = threading.Event()

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.is_listening.set()


@contextmanager
def live_server(engine, **settings):
    """The address of a server over this engine, on a free port, as long as the context lasts."""
    app = create_app(engine, ServerSettings(**settings))
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False)
    server = _Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert server.is_listening.wait(30), "the server did not start"
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
        app.state.context.store.close()
