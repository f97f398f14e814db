"""Official clients over a real socket: upload a PDF, ask about it, mark what stays."""

import base64

import anthropic
import openai
import pytest

from support.fake_async_engine import FakeAsyncEngine
from support.serving import serving

SAID = 'It says "The pass key is 28884." on page 2.'
QUESTION = "What is the pass key?"


@pytest.fixture(scope="module")
def engine():
    return FakeAsyncEngine(script=SAID)


@pytest.fixture(scope="module")
def server(engine):
    with serving(lambda: engine, api_keys=("secret", "other")) as server:
        server.wait_until_ready()
        yield server


def openai_client(server, key="secret"):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)


@pytest.fixture
def claude(server):
    return anthropic.Anthropic(base_url=server.url, api_key="secret", max_retries=0)


@pytest.fixture
def client(server):
    return openai_client(server)


@pytest.fixture
def file(client, pdf):
    return client.files.create(file=("book.pdf", pdf), purpose="user_data")


def test_chat_about_an_upload(client, engine, file):
    """By id, with a breakpoint behind the document; the citation is an extra field."""
    part = {
        "type": "file",
        "file": {"file_id": file.id},
        "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"},
    }
    content = [part, {"type": "text", "text": QUESTION}]
    completion = client.chat.completions.create(
        model="needle",
        messages=[{"role": "user", "content": content}],
        prompt_cache_key="books",
        extra_body={"longreach": {"attention": True}},
    )
    assert completion.choices[0].message.content == SAID
    [citation] = completion.longreach["citations"]
    assert (citation["file_id"], citation["page"], citation["verified"]) == (file.id, 2, True)
    assert len(completion.longreach["pages"]) == 3
    [pin] = engine.requests[-1].pins
    assert (pin.ttl_s, pin.label) == (43200, "books")


def test_a_stream_about_an_upload(client, file):
    """The last chunk has the citations."""
    content = [{"type": "file", "file": {"file_id": file.id}}, {"type": "text", "text": QUESTION}]
    *_, last = client.chat.completions.create(
        model="needle", messages=[{"role": "user", "content": content}], stream=True
    )
    assert last.longreach["citations"][0]["page"] == 2


def test_a_response_about_bytes(client, pdf):
    """As a data URL, as OpenAI's guide shows it."""
    data = f"data:application/pdf;base64,{base64.b64encode(pdf).decode()}"
    part = {"type": "input_file", "filename": "book.pdf", "file_data": data}
    content = [part, {"type": "input_text", "text": QUESTION}]
    response = client.responses.create(
        model="needle",
        input=[{"role": "user", "content": content}],
        prompt_cache_options={"mode": "implicit", "ttl": "30m"},
    )
    assert response.output_text == SAID
    assert response.prompt_cache_options.ttl == "30m"
    assert response.longreach["citations"][0]["filename"] == "book.pdf"
    listed = client.responses.input_items.list(response.id).data
    assert listed[0].content[0].file_data == data


def test_another_key_has_no_such_file(server, file):
    """The client's own NotFoundError, with the field."""
    content = [{"type": "file", "file": {"file_id": file.id}}]
    with pytest.raises(openai.NotFoundError) as caught:
        openai_client(server, "other").chat.completions.create(
            model="needle", messages=[{"role": "user", "content": content}]
        )
    assert caught.value.param == "messages[0].content[0].file.file_id"


def test_what_cannot_be_read_is_a_bad_request(client):
    """With the code."""
    part = {"type": "file", "file": {"file_data": "aGk=", "filename": "book.pdf"}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="needle", messages=[{"role": "user", "content": [part]}]
        )
    assert caught.value.code == "document_broken"


def test_a_message_about_a_document(claude, engine, pdf):
    """As base64, cached for an hour, with citations of pages, whole and streamed."""
    source = {
        "type": "base64",
        "media_type": "application/pdf",
        "data": base64.b64encode(pdf).decode(),
    }
    block = {
        "type": "document",
        "source": source,
        "title": "book.pdf",
        "citations": {"enabled": True},
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
    }
    content = [block, {"type": "text", "text": QUESTION}]
    asked = {
        "model": "needle",
        "max_tokens": 99,
        "messages": [{"role": "user", "content": content}],
    }
    message = claude.messages.create(**asked)
    [text] = message.content
    assert text.text == SAID
    assert text.citations[0].start_page_number == 2
    assert message.usage.cache_creation_input_tokens > 0
    [pin] = engine.requests[-1].pins
    assert pin.ttl_s == 3600
    with claude.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    assert final.content[0].citations[0].cited_text == "The pass key is 28884"
    counted = claude.messages.count_tokens(model="needle", messages=asked["messages"])
    assert counted.input_tokens == len(engine.requests[-1].prompt_token_ids)
