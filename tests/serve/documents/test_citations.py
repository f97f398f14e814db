"""Beside an answer about documents: its quotes with their pages, and the pages it looked at."""

import json

import pytest

from support.fake_async_engine import FakeAsyncEngine

SAID = 'It says "The pass key is 28884." on page 2.'
QUESTION = {"type": "text", "text": "What is the pass key?"}


@pytest.fixture
def engine():
    return FakeAsyncEngine(script=SAID)


def ask(client, file_id, **body):
    content = [{"type": "file", "file": {"file_id": file_id}}, QUESTION]
    body = {"messages": [{"role": "user", "content": content}], **body}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    return answer


def frames_of(answer):
    *frames, done = answer.text.removesuffix("\n\n").split("\n\n")
    assert done == "data: [DONE]"
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def test_a_quote_names_its_page_and_place(client, upload):
    """[start, end) is in the text of that page, as /v1/documents shows it."""
    file_id = upload()
    [citation] = ask(client, file_id).json()["longreach"]["citations"]
    assert citation["kind"] == "quoted"
    assert (citation["file_id"], citation["filename"]) == (file_id, "book.pdf")
    assert (citation["index"], citation["document"], citation["page"]) == (0, 0, 2)
    assert citation["verified"] is True
    pages = client.get(f"/v1/documents/{file_id}/pages").json()["pages"]
    text = pages[1]["text"][citation["start"] : citation["end"]]
    assert text.rstrip(".") == citation["quote"].rstrip(".") == "The pass key is 28884"


@pytest.mark.parametrize(
    ("said", "kind", "page"),
    [
        ('"The pass key is 99999." (page 2)', "quoted", 2),
        ('"The pass key is 28884." (page 1)', "quoted", 2),
        ("The key is 28884.", "located", 2),
    ],
)
def test_what_is_not_verified_says_so(client, engine, upload, said, kind, page):
    """A quote that does not stand on the page named, and words that are no quote."""
    engine.script = said
    citation = ask(client, upload()).json()["longreach"]["citations"][0]
    assert (citation["kind"], citation["page"], citation["verified"]) == (kind, page, False)


def test_a_stream_ends_with_them(client, upload):
    """In the last chunk, with or without usage, and in no other."""
    file_id = upload()
    whole = ask(client, file_id).json()["longreach"]["citations"]
    for options in ({}, {"stream_options": {"include_usage": True}}):
        *others, last = frames_of(ask(client, file_id, stream=True, **options))
        assert last["longreach"]["citations"] == whole
        assert not any("longreach" in each for each in others)


def test_each_choice_is_cited(client, engine, upload):
    """index: of the choice whose quote it is."""
    engine.script = lambda _, index: ['"The grass is green."', '"The sky is blue."'][index]
    found = ask(client, upload(), n=2).json()["longreach"]["citations"]
    assert [(each["index"], each["quote"]) for each in found] == [
        (0, "The grass is green."),
        (1, "The sky is blue."),
    ]


def test_where_it_looked(client, engine, upload):
    """Only when asked; each page's tokens are a span, and its share comes back with its number."""
    file_id = upload()
    assert "pages" not in ask(client, file_id).json()["longreach"]
    assert engine.requests[-1].attention_spans == ()
    told = ask(client, file_id, longreach={"attention": True}).json()["longreach"]
    assert [(page["page"], page["file_id"]) for page in told["pages"]] == [
        (number, file_id) for number in (1, 2, 3)
    ]
    assert [page["share"] for page in told["pages"]] == pytest.approx(
        [1 / 6, 2 / 6, 3 / 6], abs=1e-5
    )
    assert told["citations"][0]["share"] == pytest.approx(2 / 6)
    request = engine.requests[-1]
    spelled = [
        engine.tokenizer.decode(request.prompt_token_ids[start:end])
        for start, end in request.attention_spans
    ]
    pages = client.get(f"/v1/documents/{file_id}/pages").json()["pages"]
    for page, text in zip(pages, spelled, strict=True):
        assert page["text"].startswith(text.strip())
        assert len(text) > len(page["text"]) - 4  # less a token that goes on behind it


def test_an_answer_without_documents_has_none(client):
    """No field is there that nothing is told in."""
    body = {"messages": [{"role": "user", "content": "hi"}], "longreach": {"attention": True}}
    told = client.post("/v1/chat/completions", json=body).json()["longreach"]
    assert not {"citations", "pages"} & told.keys()


def test_a_response_carries_them(client, upload):
    """In the object, and in the stream's last event."""
    item = {"type": "input_file", "file_id": upload()}
    content = [item, {"type": "input_text", "text": "What is the pass key?"}]
    body = {"input": [{"role": "user", "content": content}], "longreach": {"attention": True}}
    told = client.post("/v1/responses", json=body).json()["longreach"]
    assert told["citations"][0]["page"] == 2
    assert len(told["pages"]) == 3
    text = client.post("/v1/responses", json={**body, "stream": True}).text
    last = json.loads(text.rstrip().rpartition("data: ")[2])
    assert last["response"]["longreach"]["citations"] == told["citations"]


def message(block, **body):
    content = [block, QUESTION]
    messages = [{"role": "user", "content": content}]
    return {"model": "needle", "max_tokens": 99, "messages": messages, **body}


def test_citations_of_a_message(client, upload):
    """Asked for on the document: page locations in the text block, as deltas when streamed."""
    file_id = upload()
    source = {"type": "file", "file_id": file_id}
    block = {"type": "document", "source": source, "citations": {"enabled": True}}
    [text] = client.post("/v1/messages", json=message(block)).json()["content"]
    [citation] = text["citations"]
    assert citation == {
        "type": "page_location",
        "cited_text": "The pass key is 28884",
        "document_index": 0,
        "document_title": "book.pdf",
        "file_id": file_id,
        "start_page_number": 2,
        "end_page_number": 3,
    }
    stream = client.post("/v1/messages", json=message(block, stream=True)).text
    data = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    deltas = [each["delta"] for each in data if each["type"] == "content_block_delta"]
    cited = [delta for delta in deltas if delta["type"] == "citations_delta"]
    assert [delta["citation"] for delta in cited] == text["citations"]
    assert deltas[-1] in cited
    del block["citations"]
    [text] = client.post("/v1/messages", json=message(block)).json()["content"]
    assert "citations" not in text


def test_citations_of_a_text_count_its_characters(client, engine):
    """Where there are no pages: [start, end) of the text that was sent."""
    lines = [f"Line {number} is not it." for number in range(500)]
    text = "\n".join([*lines, "The pass key is 28884.", *lines])
    engine.script = 'It is "The pass key is 28884".'
    source = {"type": "text", "media_type": "text/plain", "data": text}
    block = {"type": "document", "source": source, "citations": {"enabled": True}}
    engine.max_model_len = 100_000
    [block] = client.post("/v1/messages", json=message(block)).json()["content"]
    [citation] = block["citations"]
    assert citation["type"] == "char_location"
    start, end = citation["start_char_index"], citation["end_char_index"]
    assert text[start:end] == citation["cited_text"] == "The pass key is 28884"
