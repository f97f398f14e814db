"""The needle generators: same seed, same text; right lengths, right depths; a clean split."""

from __future__ import annotations

import random
import re

import pytest

from longreach.errors import InvalidRequestError
from longreach.evals import needle
from longreach.evals.needle import haystack, tasks


def encode(text: str) -> list[int]:
    """A stand-in tokenizer: one id per word, mark or digit."""
    return [len(piece) for piece in re.findall(r"[A-Za-z]+|\d|[^\sA-Za-z\d]|\s+", text)]


def test_the_same_seed_gives_the_same_document() -> None:
    """A document is a function of its arguments and the seed."""
    first, again = (needle.build_document(encode, 3000, seed=5) for _ in range(2))
    assert first == again
    assert needle.build_document(encode, 3000, seed=6).text != first.text


def test_train_and_held_out_share_no_file() -> None:
    """The split is by file, covers the library, and a file's side depends on its path alone."""
    train, held_out = (set(needle.library_files(split)) for split in ("train", "held_out"))
    assert train
    assert held_out
    assert not train & held_out
    assert all(needle.is_held_out(path) for path in held_out)
    assert not any("site-packages" in path or "/test/" in path for path in train | held_out)


def test_real_text_defaults_to_held_out_files() -> None:
    """No train file's text stands in what demo and evaluation read."""
    text = needle.real_text(200_000, seed=1)
    long_files = [p for p in needle.library_files("train") if len(_read(p)) > 2000]
    assert len(long_files) > 50
    assert not any(_read(path) in text for path in long_files)


def _read(path: str) -> str:
    return haystack.read_library_file(path)


def test_real_text_cycles_when_the_library_is_shorter() -> None:
    """Asked for more than there is, it goes round again."""
    whole = sum(len(_read(path)) for path in needle.library_files("held_out"))
    assert len(needle.real_text(whole * 2, seed=0)) >= whole * 2


@pytest.mark.parametrize("num_tokens", [400, 512, 4096, 50_000])
@pytest.mark.parametrize("kind", ["real", "repeated", "pages"])
def test_length_is_met_within_half_a_percent_and_never_exceeded(num_tokens: int, kind: str) -> None:
    """0.995 n <= tokens <= n (short repeated text moves in steps of a word)."""
    document = needle.build_document(encode, num_tokens, seed=2, num_questions=3, haystack=kind)
    assert document.num_tokens == len(encode(document.text)) <= num_tokens
    assert document.num_tokens >= 0.995 * num_tokens - 2


def test_needles_that_do_not_fit_raise() -> None:
    """Too many needles for the length is an error with the number."""
    with pytest.raises(InvalidRequestError, match=r"tokens is 100: expected at least \d{4}"):
        needle.build_document(encode, 100, seed=0, num_questions=30)


@pytest.mark.parametrize("kind", ["real", "repeated", "pages"])
@pytest.mark.parametrize("depth", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_the_needle_stands_at_the_depth_asked_for(kind: str, depth: float) -> None:
    """Its place in the text differs from the depth by less than two percent."""
    document = needle.build_single(encode, 20_000, seed=3, depth=depth, haystack=kind)
    at = document.text.index(document.planted[0].needle.text)
    assert at / len(document.text) == pytest.approx(depth, abs=0.02)
    assert document.text.count("The pass key is") == 1


def test_every_answer_stands_once_in_the_document() -> None:
    """All values asked for are there, each in its needle's sentence."""
    document = needle.build_document(encode, 8000, seed=4, num_questions=14, kinds=needle.KINDS)
    assert {question.kind for question in document.questions} == set(needle.KINDS)
    for question in document.questions:
        for value in question.answer:
            assert needle.contains_value(document.text, value)
    assert all(item.needle.text in document.text for item in document.planted)


def test_questions_share_the_document_to_the_byte() -> None:
    """The prompt before the question is one prefix, so a cache reads it once."""
    document = needle.build_document(encode, 2000, seed=0)
    contents = [document.messages(q)[-1]["content"] for q in document.questions]
    assert all(content.startswith(document.text + "\n\n") for content in contents)
    first = document.messages(document.questions[0], question_first=True)[-1]["content"]
    assert first.endswith(document.text)


def test_a_given_text_is_used_from_its_start_and_cycled() -> None:
    """One's own haystack, as `longreach demo --file` gives it."""
    document = needle.build_single(encode, 3000, seed=0, depth=0.5, text="alpha beta gamma. " * 9)
    assert "alpha beta gamma." in document.text
    assert document.num_tokens > 2900


def test_passkey_wording_is_the_release_posts() -> None:
    """Introduction, filler, needle and question, word for word."""
    document = needle.build_single(encode, 1000, seed=0, depth=0.3)
    value = document.questions[0].answer[0]
    assert document.text.startswith("There is an important info hidden inside a lot of irrelevant")
    assert "The grass is green. The sky is blue. The sun is yellow. Here we go." in document.text
    assert f"The pass key is {value}. Remember it. {value} is the pass key." in document.text
    assert document.questions[0].text == "What is the pass key?"
    assert re.fullmatch(r"\d{5}", value)


def test_multiple_values_are_asked_for_in_ascending_order() -> None:
    """One key, all its values, sorted."""
    needles = [tasks.magic_needle("dry-lake", value) for value in ("700", "300", "500")]
    question = needle.ask(needles, depth=0.0, kind="multi_value")
    assert question.answer == ("300", "500", "700")
    assert question.reply == "The special magic numbers for dry-lake are: 300, 500, 700."


def test_keys_of_one_document_are_distinct() -> None:
    """No two questions of a document ask for the same key."""
    taken: set[str] = set()
    rng = random.Random(0)
    drawn = [tasks.draw_needles(rng, "single", count=1, taken=taken)[0].key for _ in range(300)]
    assert len(set(drawn)) == len(drawn) == len(taken)


@pytest.mark.parametrize(
    ("output", "answer", "share"),
    [
        ("The pass key is 28884.", ("28884",), 1.0),
        ("The pass key is 288845.", ("28884",), 0.0),
        ("2888", ("28884",), 0.0),
        ("are: 12, 34.", ("12", "34", "56"), 2 / 3),
        ("is: amber.", ("amber",), 1.0),
        ("", ("1",), 0.0),
        ("Amber.", ("amber",), 1.0),
        ("_28884_ or __amber__", ("28884", "amber"), 1.0),
        ("密码是28884。", ("28884",), 1.0),
        ("28884,12", ("28884", "12"), 1.0),
        ("12. 28884", ("28884", "12"), 1.0),
        ("- amber\n- 12", ("amber", "12"), 1.0),
        ("0.28884 or 28884.5", ("28884",), 0.0),
        ("The special magic word for quiet-harbor is: amber.", ("harbor",), 0.0),
        ("The special magic word for quiet-harbor is: harbor.", ("harbor",), 1.0),
    ],
)
def test_score_is_the_share_of_values_found_whole(
    output: str, answer: tuple[str, ...], share: float
) -> None:
    """A value counts when it stands in the output as a whole word or number."""
    assert needle.score(output, answer) == pytest.approx(share)


def test_wilson_interval_of_all_right_and_none() -> None:
    """49 of 50: 0.895 to 0.996 (textbook value); no questions: nothing is known."""
    low, high = needle.wilson_interval(49, 50)
    assert (low, high) == (pytest.approx(0.895, abs=1e-3), pytest.approx(0.9965, abs=1e-3))
    assert needle.wilson_interval(0, 0) == (0.0, 1.0)
    assert needle.wilson_interval(50, 50)[1] == 1.0
