import json

import pytest

from longreach.serve.batches.lines import MAX_ERRORS, read_body, read_lines

CHAT = "/v1/chat/completions"


def line(custom_id="a", method="POST", url=CHAT, body=None, **more):
    return {"custom_id": custom_id, "method": method, "url": url, "body": body or {}, **more}


@pytest.fixture
def write(tmp_path):
    def write(*lines):
        texts = [each if isinstance(each, str) else json.dumps(each) for each in lines]
        path = tmp_path / "in.jsonl"
        path.write_text("\n".join(texts) + "\n")
        return path

    return write


def test_bodies_are_found_again(write):
    """A body is read from where its line stands, blank lines and all."""
    path = write(line("é", body={"n": 1}), "", line("b", body={"n": 2}))
    lines, errors = read_lines(path)
    assert errors == []
    assert [(each.custom_id, each.number) for each in lines] == [("é", 1), ("b", 3)]
    assert [read_body(path, each)["n"] for each in lines] == [1, 2]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ("{", "invalid_json_line"),
        ("[1]", "invalid_json_line"),
        (line(method="GET"), "invalid_method"),
        (line(url="/v1/embeddings"), "invalid_url"),
        (line(url=5), "invalid_url"),
        (line(custom_id=None), "missing_required_parameter"),
        (line(body=[1]), "missing_required_parameter"),
        (line("good"), "duplicate_custom_id"),
    ],
)
def test_what_is_wrong_with_a_line(write, bad, code):
    """Each fault has a code and the number of its line."""
    _, errors = read_lines(write(line("good"), bad), (CHAT,))
    assert [(error.code, error.number) for error in errors] == [(code, 2)]


def test_a_file_without_requests(write):
    """An empty file is an error of the file as a whole."""
    _, errors = read_lines(write(""))
    assert [(error.code, error.number) for error in errors] == [("empty_file", None)]


def test_limits(write):
    """Too many requests are refused; a file that is wrong everywhere is told about so often."""
    _, errors = read_lines(write(line("a"), line("b"), line("c")), max_lines=2)
    assert [(error.code, error.number) for error in errors] == [("too_many_requests", 3)]
    _, errors = read_lines(write(*["{"] * (MAX_ERRORS + 9)))
    assert len(errors) == MAX_ERRORS
