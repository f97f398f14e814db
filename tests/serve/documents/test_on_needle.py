"""The small model and a book: the page of the answer, and what is left of it after a restart."""

from contextlib import contextmanager

import openai
import pytest

from longreach.cli.defaults import sampling_defaults
from longreach.evals.needle.book import make_book
from longreach.models.registry import resolve_model
from longreach.serve.secret import server_secret
from support.serving import live_server

pytestmark = pytest.mark.slow

KEYS = ("one", "two")


@pytest.fixture(scope="module")
def book():
    return make_book(12, seed=1, num_facts=3)


@contextmanager
def started(folder):
    """A server that keeps its state and its cache in this folder; the same after a restart."""
    from longreach.engine.async_engine import AsyncEngine
    from longreach.engine.llm import LLM

    llm = LLM("needle", max_model_len=16384, num_kv_tokens=65536, disk_cache=folder / "cache")
    state_dir = folder / "state"
    settings = {
        "api_keys": KEYS,
        "state_dir": state_dir,
        "secret": server_secret(state_dir),
        "sampling_defaults": sampling_defaults(resolve_model("needle")),
    }
    with live_server(AsyncEngine.from_llm(llm), **settings) as url:
        yield url


@contextmanager
def client_of(url, key):
    with openai.OpenAI(base_url=url + "/v1", api_key=key, max_retries=0) as client:
        yield client


def upload(client, book):
    return client.files.create(file=("book.pdf", book.pdf), purpose="user_data").id


def ask(client, file_id, question):
    content = [{"type": "file", "file": {"file_id": file_id}}, {"type": "text", "text": question}]
    return client.chat.completions.create(
        model="needle",
        messages=[{"role": "user", "content": content}],
        extra_body={"longreach": {"attention": True}},
    )


def document(client, file_id):
    return client.get(f"/documents/{file_id}", cast_to=object)


def test_read_once_and_asked_again_after_a_restart(book, tmp_path):
    """Answers name their pages; a pinned book is found on disk by its key, and by no other."""
    with started(tmp_path) as url, client_of(url, "one") as client:
        file_id = upload(client, book)
        assert document(client, file_id)["cached_tokens"] == 0
        for number, fact in enumerate(book.facts):
            answer = ask(client, file_id, fact.question.text)
            assert fact.needle.value in answer.choices[0].message.content
            assert fact.page in [each["page"] for each in answer.longreach["citations"]]
            looked = max(answer.longreach["pages"], key=lambda page: page["share"])
            assert looked["page"] == fact.page
            cached = answer.usage.prompt_tokens_details.cached_tokens
            assert (cached > 0.9 * answer.usage.prompt_tokens) == (number > 0)
        pinned = client.post(f"/documents/{file_id}/pin", cast_to=object, body={"ttl": "12h"})
        assert pinned["pinned"]
        assert pinned["cached_tokens"] > pinned["tokens"] - 256
    with started(tmp_path) as url:
        with client_of(url, "one") as client:
            kept = document(client, file_id)
            assert kept["pinned"]
            assert kept["disk_tokens"] > kept["tokens"] - 256
            answer = ask(client, file_id, book.facts[0].question.text)
            assert book.facts[0].needle.value in answer.choices[0].message.content
            cached = answer.usage.prompt_tokens_details.cached_tokens
            assert cached > 0.9 * answer.usage.prompt_tokens
        with client_of(url, "two") as other:
            assert other.get("/documents", cast_to=object)["data"] == []
            mine = document(other, upload(other, book))
            assert (mine["cached_tokens"], mine["disk_tokens"], mine["cache_bytes"]) == (0, 0, 0)
            assert mine["seconds"] > kept["seconds"]
            assert not mine["pinned"]
