import pytest
from starlette.testclient import TestClient

from longreach.serve.app import create_app
from longreach.serve.settings import ServerSettings
from support.fake_async_engine import FakeAsyncEngine


@pytest.fixture
def make_client():
    """A client of a server over a fake engine: `make_client(engine, **settings)`."""
    opened = []

    def make(engine=None, *, headers=None, **settings):
        app = create_app(engine or FakeAsyncEngine(), ServerSettings(**settings))
        client = TestClient(app, raise_server_exceptions=False, headers=headers)
        opened.append(client.__enter__())
        return client

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def engine():
    return FakeAsyncEngine()


@pytest.fixture
def client(make_client, engine):
    return make_client(engine)
