import json

from hypothesis import given
from hypothesis import strategies as st

from longreach.serve.batches.journal import Journal, answer_line, error_line

ANSWERS = [answer_line(f"id {n}", 200 if n % 2 else 400, "r", {"é": n}) for n in range(4)]


def test_answers_and_failures_apart(tmp_path):
    """Successful answers go to one file, all else to the other, and both are counted."""
    output, errors = tmp_path / "out", tmp_path / "err"
    with Journal(output, errors) as journal:
        for line in [*ANSWERS, error_line("late", "batch_expired", "too late")]:
            journal.append(line)
        assert (journal.num_completed, journal.num_failed) == (2, 3)
    assert [json.loads(text) for text in output.read_text().splitlines()] == ANSWERS[1::2]
    assert json.loads(errors.read_text().splitlines()[-1])["error"]["code"] == "batch_expired"


@given(st.integers(min_value=0))
def test_any_cut_is_repaired(tmp_path_factory, cut):
    """A file that a crash cut anywhere keeps its whole lines, and goes on after them."""
    path = tmp_path_factory.mktemp("journal") / "out"
    with Journal(path, path) as journal:
        for line in ANSWERS:
            journal.append(line)
    whole = path.read_bytes()
    path.write_bytes(whole[: cut % (len(whole) + 1)])
    with Journal(path, path) as journal:
        for line in ANSWERS:
            if line["custom_id"] not in journal.done:
                journal.append(line)
    assert path.read_bytes() == whole
