"""`longreach serve` as people run it: a process, signals, TLS."""

import json
import ssl
import time
from pathlib import Path

import httpx2
import pytest

from support.fake_async_engine import FakeAsyncEngine
from support.process import server_process
from support.serving import serving

pytestmark = pytest.mark.slow

STORY = {"model": "needle", "prompt": "Once", "stream": True, "ignore_eos": True, "max_tokens": 200}
LONG = {"prompt": [5] * 200_000, "max_tokens": 1}
KEY, CERTIFICATE = (Path(__file__).parent / "tls" / name for name in ("key.pem", "cert.pem"))
"""Of 127.0.0.1, signed by itself, for these tests: openssl req -x509 -newkey ec
-pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 36500
-subj "/CN=longreach test" -addext "subjectAltName=IP:127.0.0.1" """
LENGTH = ("--max-model-len", "256K")


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_from_loading_to_the_last_answer():
    """503 while it loads, then answers; SIGTERM lets the stream that runs come to its end."""
    with server_process("--log-format", "json") as server:
        states = {server.get("/ready").status_code}
        while 200 not in states:
            states.add(server.get("/ready").status_code)
        assert states == {503, 200}
        with server.client.stream("POST", "/v1/completions", json=STORY) as response:
            lines = response.iter_lines()
            assert next(lines).startswith("data: {")
            server.terminate()
            wait_for(lambda: server.get("/ready").status_code == 503)
            refused = server.client.post("/v1/completions", json={"prompt": "x"})
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "shutting_down"
            rest = [line for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        assert server.wait() == 0
    logged = [json.loads(line) for line in server.lines]
    told = [line for line in logged if line.get("path") == "/v1/completions"]
    assert [line["status"] for line in told] == [503, 200]
    assert told[-1]["generated_tokens"] == 200


def test_a_second_signal_ends_it_at_once():
    """In the middle of a long prompt, whose reader sees its connection end."""
    with server_process(*LENGTH, "--sparse", "off") as server:
        server.wait_until_ready()
        body = {**LONG, "stream": True, "return_progress": True}
        with server.client.stream("POST", "/v1/completions", json=body) as response:
            lines = response.iter_lines()
            assert "prompt_progress" in next(lines)
            server.terminate()
            wait_for(lambda: server.get("/ready").status_code == 503)
            server.terminate()
            assert server.wait() == 0
            assert "data: [DONE]" not in "".join(_rest(lines))
    assert not any("Traceback" in line for line in server.lines), "".join(server.lines)


def _rest(lines):
    try:
        yield from lines
    except httpx2.HTTPError:
        return


def test_a_signal_while_it_loads_ends_it():
    """Nothing has to be finished, so nothing is waited for."""
    with server_process() as server:
        server.terminate()
        assert server.wait() == 0


def trusting(with_certificate=False):
    """A client's TLS that knows the server's certificate, and may have it itself."""
    context = ssl.create_default_context(cafile=str(CERTIFICATE))
    if with_certificate:
        context.load_cert_chain(CERTIFICATE, KEY)
    return context


def ask(url, context):
    with httpx2.Client(verify=context) as client:
        end = time.monotonic() + 30
        while (answer := client.get(url + "/ready")).status_code != 200:
            assert time.monotonic() < end
            time.sleep(0.02)
    return answer


def test_tls():
    """https with the certificate given; who does not know it does not connect."""
    with serving(FakeAsyncEngine, ssl_keyfile=KEY, ssl_certfile=CERTIFICATE) as server:
        assert server.url.startswith("https://")
        assert ask(server.url, trusting()).json() == {"status": "ok"}
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(server.url + "/health")


def test_clients_certificates():
    """With --ssl-ca-certs, only who has one of theirs is let in."""
    tls = {"ssl_keyfile": KEY, "ssl_certfile": CERTIFICATE, "ssl_ca_certs": CERTIFICATE}
    with serving(FakeAsyncEngine, **tls) as server:
        assert ask(server.url, trusting(with_certificate=True)).status_code == 200
        with pytest.raises(httpx2.HTTPError):
            ask(server.url, trusting())
