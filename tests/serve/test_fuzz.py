"""Bodies that nobody thought of: what our own description allows, and what it does not."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from longreach.serve.app import create_app
from longreach.serve.settings import ServerSettings
from support.fake_async_engine import FakeAsyncEngine

pytestmark = pytest.mark.slow

APP = create_app(FakeAsyncEngine(max_model_len=512), ServerSettings())
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP)
OPERATIONS = {
    f"{operation.method.upper()} {operation.path}": operation
    for operation in (result.ok() for result in SCHEMA.get_all_operations())
    if operation.body
}


def test_there_is_something_to_try():
    """Every route with a body is in the description."""
    assert {"POST /v1/chat/completions", "POST /v1/completions"} <= OPERATIONS.keys()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("name", OPERATIONS)
def test_no_body_breaks_the_server(name, mode):
    """An answer, or an error in its shape that is the client's; nothing long is repeated."""

    @settings(
        max_examples=20,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=OPERATIONS[name].as_strategy(generation_mode=mode))
    def try_one(case):
        response = case.call()
        assert response.status_code < 500 or response.status_code == 501, response.text
        if response.status_code >= 400:
            assert response.json()["error"]
            assert len(response.text) < 4000

    try_one()
