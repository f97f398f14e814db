"""Ids and queries that nobody thought of, on every route that our description has."""

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from longreach.serve.app import create_app
from longreach.serve.settings import ServerSettings
from support.fake_async_engine import FakeAsyncEngine

pytestmark = pytest.mark.slow

APP = create_app(FakeAsyncEngine(max_model_len=512), ServerSettings())
OPERATIONS = {
    f"{method.upper()} {path}": operation.get("parameters", [])
    for path, operations in APP.openapi()["paths"].items()
    for method, operation in operations.items()
    if "requestBody" not in operation
}
ODD = st.sampled_from(
    ["", "0", "-1", "1" + "0" * 400, "NaN", "true", "\x00", "..", "%", "a/b", "é"]
)
VALUES = ODD | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.fixture(scope="module")
def client():
    with TestClient(APP, raise_server_exceptions=False) as client:
        yield client


def test_every_kind_of_route_is_tried():
    """Lists, things by their ids, and what takes no parameter."""
    assert {
        "GET /v1/files",
        "DELETE /v1/responses/{response_id}",
        "GET /ready",
    } <= OPERATIONS.keys()


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_path_and_no_query_breaks_the_server(client, name):
    """An answer, or a short error in its shape that is the client's."""
    method, path = name.split(" ")
    places = {each["name"]: each["in"] for each in OPERATIONS[name]}

    @settings(max_examples=15 if places else 1, database=None)
    @given(values=st.fixed_dictionaries(dict.fromkeys(places, VALUES)))
    def try_one(values):
        inside = {key: quote(value, safe="") for key, value in values.items()}
        query = {key: value for key, value in values.items() if places[key] == "query"}
        response = client.request(method, path.format(**inside), params=query)
        assert response.status_code < 500 or response.status_code == 501, response.text
        if response.status_code >= 400:
            assert response.json()["error"]
            assert len(response.text) < 4000

    try_one()
