"""Keys: closed by default, and each key's things its own."""

import pytest
from starlette.routing import Route

from longreach.serve.auth import PUBLIC, Identity, KeyRing, is_public
from support.fake_async_engine import FakeAsyncEngine

KEYS = ("first-key", "second-key")


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def routes(client):
    """Every path with every method that the router knows."""

    def walk(found):
        for route in found:
            if isinstance(route, Route):
                yield from ((route.path, method) for method in route.methods)
            else:
                yield from walk(getattr(route, "routes", ()) or ())

    return set(walk(client.app.routes))


def test_every_route_but_the_public_ones_needs_a_key(make_client):
    """Found by walking the router, so that a new route is guarded too."""
    client = make_client(api_keys=KEYS)
    paths = client.get("/openapi.json", headers=bearer(KEYS[0])).json()["paths"]
    walked = {(path, method.upper()) for path, each in paths.items() for method in each}
    assert len(walked) > 20
    for path, method in walked | routes(client):
        response = client.request(method, path)
        assert (response.status_code == 401) == (not is_public(path)), path
    assert client.get("/nothing").status_code == 401


def test_the_public_paths_are_a_decision():
    """Only what a load balancer asks, and the page, which holds nothing and asks for the key."""
    page = {"/", "/licenses.txt"}
    assert {"/health", "/v1/health", "/ready", "/version"} | page == PUBLIC
    assert is_public("/assets/page.js")
    assert not any(map(is_public, ["/assets", "/v1/assets/page.js", "//", "/v1/files"]))


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "api-key"])
def test_keys_in_the_headers_of_every_client(make_client, name):
    """OpenAI's, Anthropic's and Azure's."""
    client = make_client(api_keys=KEYS)
    value = f"Bearer {KEYS[1]}" if name == "Authorization" else KEYS[1]
    assert client.get("/v1/models", headers={name: value}).status_code == 200


@pytest.mark.parametrize("key", ["", "first-ke", "first-key2", "FIRST-KEY", "é"])
def test_only_the_whole_key_opens(key):
    """Neither a part nor anything near it."""
    assert KeyRing(KEYS, b"s").find(key) is None


def test_identities_are_apart_and_last():
    """Owners outlive the process's secret; salts depend on it; no key can be read from them."""
    one, two = KeyRing(KEYS, b"s"), KeyRing(KEYS, b"t")
    a, b = (one.find(key) for key in KEYS)
    assert a.owner != b.owner
    assert a.cache_salt != b.cache_salt
    assert two.find(KEYS[0]).owner == a.owner
    assert two.find(KEYS[0]).cache_salt != a.cache_salt
    assert KEYS[0] not in repr(a)


def test_without_keys_everybody_is_one():
    """No salt, one owner."""
    assert KeyRing((), b"s").find("anything") == Identity()


def test_a_key_sees_and_resets_its_own(make_client):
    """Slots show the caller's requests; a reset names the caller's salt."""
    from longreach.serve.running import RunningRequest

    engine = FakeAsyncEngine()
    client = make_client(engine, api_keys=KEYS)
    ring = KeyRing(KEYS, client.app.state.context.settings.secret)
    mine = ring.find(KEYS[0])
    client.app.state.context.running["r"] = RunningRequest("r", mine.owner, 10)
    seen = [
        [slot.get("id_task") for slot in client.get("/slots", headers=bearer(key)).json()]
        for key in KEYS
    ]
    assert "r" in seen[0]
    assert "r" not in seen[1]
    assert client.post("/reset_prefix_cache", headers=bearer(KEYS[0])).json() == {"pages": 3}
    assert engine.resets == [mine.cache_salt]


def test_an_open_server_resets_all(client, engine):
    """None is every salt."""
    client.post("/reset_prefix_cache")
    assert engine.resets == [None]


def test_cors_is_off_unless_asked_for(make_client):
    """A web page of another origin gets nothing; with an origin allowed, preflights need no key."""
    headers = {"Origin": "https://page", "Access-Control-Request-Method": "POST"}
    closed = make_client().options("/v1/chat/completions", headers=headers)
    assert "access-control-allow-origin" not in closed.headers
    opened = make_client(allowed_origins=("https://page",), api_keys=KEYS)
    answer = opened.options("/v1/chat/completions", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://page"


def test_a_page_of_another_site_sets_nothing_to_work(make_client):
    """What a browser says another site's page sent is refused, unless its origin is allowed."""
    foreign = {"Origin": "https://page", "Sec-Fetch-Site": "cross-site"}
    closed, opened = make_client(), make_client(allowed_origins=("https://page",))
    refused = closed.post("/v1/files", headers=foreign, files={"file": b"x"})
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "cross_site_request"
    assert "--allowed-origins" in refused.json()["error"]["message"]
    assert closed.post("/v1/messages", headers=foreign, json={}).json()["type"] == "error"
    assert closed.get("/v1/models", headers=foreign).status_code == 200
    own = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
    prompt = {"prompt": "hello"}
    assert closed.post("/tokenize", headers=own, json=prompt).status_code == 200
    assert closed.post("/tokenize", json=prompt).status_code == 200
    assert opened.post("/tokenize", headers=foreign, json=prompt).status_code == 200


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_a_proxy_may_take_its_prefix_away_or_not(make_client, prefix):
    """--root-path: the same routes, public or guarded, behind both kinds of proxy."""
    client = make_client(root_path="/api", api_keys=KEYS)
    assert client.get(f"{prefix}/health").status_code == 200
    assert client.get(f"{prefix}/v1/models").status_code == 401
    assert client.get(f"{prefix}/v1/models", headers=bearer(KEYS[0])).status_code == 200
    refused = client.post(f"{prefix}/v1/messages", json={})
    assert refused.json()["type"] == "error"
