"""`longreach ask` on a model that is a regular expression."""

import json

import pytest
from typer.testing import CliRunner

from longreach.cli.commands import app
from longreach.errors import ContextLengthError

QUESTION = "What is the pass key?"


def run(*words, stdin=None, disk_cache="--no-disk-cache"):
    words = ["ask", disk_cache, *map(str, words)]
    return CliRunner().invoke(app, words, input=stdin)


def test_the_answer_and_its_citation_are_on_stdout(fake_llm, notes):
    """A pipe gets the answer and where it stands; files, estimate and figures are on stderr."""
    result = run(notes, QUESTION)
    assert result.exit_code == 0, result.output
    answer, empty, citation = result.stdout.splitlines()
    assert (answer, empty) == ("The pass key is 28884.", "")
    assert citation.startswith("· found on  lines ")
    assert "“The pass key is 28884.”" in citation
    assert "notes.txt" in result.stderr
    assert "100,000 tokens" in result.stderr
    assert "recall 0.970" in result.stderr
    assert "\x1b" not in result.output
    assert fake_llm.is_closed


def test_a_quote_is_verified(fake_llm, notes):
    """Word for word on the lines that the answer names."""
    fake_llm.reply = lambda prompt: "“The pass key is 28884” (lines 95-110)."
    assert "✓ verified" in run(notes, QUESTION).stdout
    fake_llm.reply = lambda prompt: "“The pass key was 28884” (lines 95-110)."
    assert "✗ unverified" in run(notes, QUESTION).stdout


def test_json_is_one_document(fake_llm, notes):
    """Everything that is known of the answer, for programs."""
    data = json.loads(run(notes, QUESTION, "--json").stdout)
    assert data["answer"] == "The pass key is 28884."
    assert (data["question"], data["model"], data["finish_reason"]) == (QUESTION, "fake", "stop")
    [book] = data["documents"]
    assert (book["name"], book["kind"], len(book["sha256"])) == ("notes.txt", "text", 64)
    assert 0 < book["tokens"] < data["prompt_tokens"]
    assert data["cached_tokens"] == data["prompt_tokens"] // 2
    [citation] = data["citations"]
    assert (citation["kind"], citation["document"]) == ("located", "notes.txt")
    assert citation["share"] > 0.5
    assert data["looked_at"][0]["page"] == citation["page"]
    assert data["recall"] == {"mean": 0.97, "min": 0.9}
    assert data["timings"].keys() == {"documents_s", "load_s", "answer_s", "ttft_s", "decode_s"}
    assert (data["over_length"], data["pages_read"]) == (None, None)


def test_documents_stand_before_the_question(fake_llm, notes, tmp_path):
    """In the order given, so that the next question finds them in the cache."""
    other = tmp_path / "other.md"
    other.write_text("# Nothing")
    run(other, notes, QUESTION)
    prompt = fake_llm.prompts[0]
    places = [prompt.index(text) for text in ("# Nothing", "Line 0 tells", QUESTION)]
    assert places == sorted(places)


def test_options_reach_the_engine(fake_llm, notes, tmp_path):
    """The model's, the cache's and the answer's."""
    words = ["ask", str(notes), QUESTION, "--cache-dir", str(tmp_path / "kept"), "--seed", "3"]
    words += ["--quantization", "int8", "--max-model-len", "32K", "--max-tokens", "9"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert fake_llm.options["quantization"] == "int8"
    assert fake_llm.options["max_model_len"] == 32 * 1024
    assert fake_llm.options["disk_cache"].directory == tmp_path / "kept"
    params = fake_llm.requests[0].params
    assert (params.max_tokens, params.temperature, params.seed) == (9, 0.0, 3)


def test_the_disk_cache_can_be_switched_off(fake_llm, notes):
    """It is on by default."""
    run(notes, QUESTION)
    assert fake_llm.options["disk_cache"] is None


@pytest.mark.parametrize(("given", "seconds"), [("7d", 7 * 86_400.0), ("never", None)])
def test_documents_can_be_pinned(fake_llm, notes, given, seconds):
    """Everything before the question, by the documents' names."""
    run(notes, QUESTION, "--pin", given, disk_cache="--cache-size=1GiB")
    [pin] = fake_llm.requests[0].pins
    assert (pin.ttl_s, pin.label) == (seconds, "notes.txt")
    kept = fake_llm.tokenizer.decode(fake_llm.requests[0].prompt_token_ids[: pin.num_tokens])
    assert "Line 199 tells" in kept
    assert QUESTION not in kept
    run(notes, QUESTION)
    assert fake_llm.requests[1].pins == ()


def test_piped_text_is_the_question(fake_llm, notes):
    """`echo question | longreach ask FILE`."""
    assert "28884" in run(notes, stdin=f"{QUESTION}\n").stdout
    assert QUESTION in fake_llm.prompts[0]


def test_beyond_the_window_is_an_error_with_a_choice(fake_llm, notes):
    """Both numbers and both ways, one line, exit code 2, nothing read."""
    fake_llm.max_model_len = 2500
    result = run(notes, QUESTION)
    assert result.exit_code == 2
    assert result.stdout == ""
    error = result.stderr.splitlines()[-1]
    assert error.startswith("error: ")
    for part in ("2,500", "512", "--over-length search", "map-reduce"):
        assert part in error
    assert fake_llm.requests == []


def test_search_reads_the_pages_that_speak_of_the_question(fake_llm, notes):
    """The best pages that fit, said so; the citation is of the whole document."""
    fake_llm.max_model_len = 2500
    result = run(notes, QUESTION, "--over-length", "search")
    assert result.exit_code == 0, result.output
    assert "The pass key is 28884." in result.stdout
    assert "of 6 pages: those closest to the question" in result.stderr
    data = json.loads(run(notes, QUESTION, "--over-length", "search", "--json").stdout)
    assert data["over_length"] == "search"
    assert 1 <= data["pages_read"] < 6
    assert data["citations"][0]["page"] == 3
    assert data["citations"][0]["share"] > 0.5


def test_map_reduce_reads_all_of_it(fake_llm, notes):
    """Every part is asked; parts that say nothing are left out of the joining."""
    fake_llm.max_model_len = 2500
    result = run(notes, QUESTION, "--over-length", "map-reduce")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("The pass key is 28884.\n")
    *parts, joined = fake_llm.prompts
    assert len(parts) > 1
    assert all(f"part {n} of {len(parts)}" in text for n, text in enumerate(parts, start=1))
    assert all(any(f"Line {i} tells" in text for text in parts) for i in range(200) if i != 100)
    assert "not in this part" not in joined
    assert joined.count("The pass key is 28884.") == 1


def test_a_quote_that_stands_nowhere_is_not_joined(fake_llm, notes):
    """A part that makes its answer up is left out, though its quote is cited as not found."""

    def reply(prompt):
        made_up = "“The pass key is 777.”"
        return "The pass key is 28884." if "28884" in prompt else made_up

    fake_llm.max_model_len = 2500
    fake_llm.reply = reply
    run(notes, QUESTION, "--over-length", "map-reduce")
    assert "777" not in fake_llm.prompts[-1]


def test_map_reduce_in_json_counts_all_readings(fake_llm, notes):
    """Tokens and seconds of the parts belong to the answer."""
    fake_llm.max_model_len = 2500
    data = json.loads(run(notes, QUESTION, "--over-length", "map-reduce", "--json").stdout)
    assert data["over_length"] == "map-reduce"
    assert data["prompt_tokens"] == sum(len(r.prompt_token_ids) for r in fake_llm.requests)
    assert data["timings"]["ttft_s"] > 0.5
    assert data["citations"][0]["page"] == 3


def test_where_no_part_has_it_that_is_the_answer(fake_llm, tmp_path):
    """The parts' answers are joined all the same."""
    path = tmp_path / "empty.txt"
    path.write_text("\n".join(f"Line {i} tells of the weather." for i in range(400)))
    fake_llm.max_model_len = 2500
    result = run(path, QUESTION, "--over-length", "map-reduce")
    assert result.exit_code == 0, result.output
    assert "not in this part" in result.stdout


def test_a_window_too_small_for_any_page(fake_llm, notes):
    """Search says what would help."""
    fake_llm.max_model_len = 700
    result = run(notes, QUESTION, "--over-length", "search")
    assert result.exit_code == 2
    assert "--max-tokens" in result.stderr


def test_a_session_from_a_pipe(fake_llm, notes):
    """Question after question; the conversation grows behind the documents; commands work."""
    lines = [
        QUESTION,
        "",
        "/docs",
        "Are you sure?",
        "/forget",
        "And now?",
        "/nonsense",
        "/exit",
        "x",
    ]
    result = run(notes, "-i", stdin="\n".join(lines))
    assert result.exit_code == 0, result.output
    assert result.stdout.count("The pass key is 28884.\n\n") == 3
    _, second, third = fake_llm.prompts
    assert "Are you sure?" in second
    assert second.index(QUESTION) < second.index("Are you sure?")
    assert QUESTION not in third
    assert "notes.txt, 6 pages" in result.stderr
    assert "error: command is '/nonsense'" in result.stderr


def test_a_session_survives_an_error(fake_llm, notes):
    """One line, and the next question."""
    fake_llm.fail = ContextLengthError(5000, 512, 4096)
    result = run(notes, "-i", stdin=f"{QUESTION}\n/help\n")
    assert result.exit_code == 0
    assert "error: the prompt has 5000 tokens" in result.stderr
    assert "/forget" in result.stderr


def test_a_conversation_that_grew_too_long_says_so(fake_llm, notes):
    """The documents alone fit: forgetting helps, and is what the error says."""
    prompt = fake_llm.encode_chat([{"role": "user", "content": notes.read_text()}])
    fake_llm.max_model_len = len(prompt) + 800
    fake_llm.reply = lambda text: "sheep " * 300
    result = run(notes, "-i", stdin=f"{QUESTION}\nAgain?\n/forget\nAgain?\n")
    assert "/forget begins a new conversation" in result.stderr
    assert len(fake_llm.requests) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["/nowhere/book.pdf", QUESTION], "book.pdf: no such file"),
        (["https://example.org/a.pdf", QUESTION], "a URL"),
        (["Why?"], "FILE"),
        ([], "FILE"),
        (["{notes}", QUESTION, "--temperature", "-1"], "temperature"),
        (["{notes}", QUESTION, "--pin", "soon"], "pin is 'soon'"),
        (["{notes}", QUESTION, "--pin", "7d"], "expected a disk cache"),
        (["{notes}", "nope.txt"], "nope.txt: no such file"),
        (["{notes}", QUESTION, "--max-model-len", "long"], "long"),
        (["{broken}", QUESTION], "broken.pdf"),
    ],
)
def test_what_cannot_be_done_is_one_line(fake_llm, notes, words, message):
    """On stderr, with exit code 2, before the model is asked anything."""
    broken = notes.parent / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7 and nothing more")
    result = run(*(word.format(notes=notes, broken=broken) for word in words))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr.splitlines()[-1]
    assert fake_llm.requests == []


def test_ctrl_c_stops(fake_llm, notes):
    """Exit code 130."""
    fake_llm.fail = KeyboardInterrupt()
    result = run(notes, QUESTION)
    assert result.exit_code == 130
    assert "stopped" in result.stderr
