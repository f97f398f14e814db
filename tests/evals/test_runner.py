import pytest

from longreach.errors import InvalidRequestError
from longreach.evals.plan import EvalPlan, LengthPlan, default_plan
from longreach.evals.report import Cell, by_depth, by_task, depth_bin
from longreach.evals.runner import load_answers, run_plan
from support.fake_engine import encode, fake_reader

SETTINGS = {"model": "fake"}


def plan_of(*lengths, questions=6, documents=2, kinds=None):
    plans = [LengthPlan(tokens=n, questions=questions, documents=documents) for n in lengths]
    return EvalPlan(lengths=tuple(plans), **({"kinds": kinds} if kinds else {}))


def test_a_perfect_reader_scores_one():
    """Every question of every document is asked, and one that finds all values scores 1."""
    answers = run_plan(fake_reader(), plan_of(1024, 2048), settings=SETTINGS)
    assert len(answers) == 12
    assert [a.score for a in answers] == [1.0] * 12
    cells = by_task(answers).cells
    assert [cells["all", length].total for length in (1024, 2048)] == [6, 6]


def test_a_blind_reader_scores_nothing():
    """A reader that never names a value scores 0 everywhere."""
    answers = run_plan(fake_reader(blind=True), plan_of(1024), settings=SETTINGS)
    assert by_task(answers).cells["all", 1024].share == 0.0


def test_questions_of_a_document_share_its_text():
    """All questions but the first of a document find most of their prompt in the cache."""
    answers = run_plan(fake_reader(), plan_of(2048, documents=1), settings=SETTINGS)
    assert all(a.num_cached_tokens > 0.9 * a.num_prompt_tokens for a in answers[1:])


def test_prompts_have_the_length_asked_for():
    """A document with its chat turns and question fills the length and does not pass it."""
    answers = run_plan(fake_reader(), plan_of(4096), settings=SETTINGS)
    assert all(0.9 * 4096 < a.num_prompt_tokens <= 4096 for a in answers)


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    """After a stop inside the second document, only that document and later ones are asked."""
    path, plan = tmp_path / "answers.json", plan_of(1024, documents=3)

    def stop_in_second(event):
        if event.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_plan(fake_reader(), plan, settings=SETTINGS, save_to=path, listen=stop_in_second)
    kept = load_answers(path, SETTINGS)
    assert {a.document for a in kept} == {"1024/0"}
    resumed = fake_reader()
    answers = run_plan(resumed, plan, settings=SETTINGS, save_to=path)
    assert len(resumed.engine.prompts) == 4
    whole = run_plan(fake_reader(), plan, settings=SETTINGS)
    assert [a.question for a in answers] == [a.question for a in whole]
    assert load_answers(path, SETTINGS) == answers


def test_a_file_of_fewer_questions_does_not_answer_for_more(tmp_path):
    """Documents of another number of questions hold their needles elsewhere: they are asked anew.

    So a table is that of one uninterrupted run, whatever the file held.
    """
    path = tmp_path / "answers.json"
    run_plan(fake_reader(), plan_of(1024, documents=2), settings=SETTINGS, save_to=path)
    more = plan_of(1024, questions=9, documents=3)
    answers = run_plan(fake_reader(), more, settings=SETTINGS, save_to=path)
    whole = run_plan(fake_reader(), more, settings=SETTINGS)
    assert [(a.document, a.depth) for a in answers] == [(a.document, a.depth) for a in whole]
    assert load_answers(path, SETTINGS) == answers


def test_a_file_keeps_other_lengths(tmp_path):
    """Asking one more length into the same file loses nothing that is there."""
    path = tmp_path / "answers.json"
    run_plan(fake_reader(), plan_of(1024), settings=SETTINGS, save_to=path)
    shown = run_plan(fake_reader(), plan_of(2048), settings=SETTINGS, save_to=path)
    assert {a.length for a in shown} == {2048}
    assert {a.length for a in load_answers(path, SETTINGS)} == {1024, 2048}


def test_other_settings_do_not_mix(tmp_path):
    """A result file of another model or mode is refused by name."""
    path = tmp_path / "answers.json"
    run_plan(fake_reader(), plan_of(1024), settings=SETTINGS, save_to=path)
    with pytest.raises(InvalidRequestError, match="differs in model"):
        run_plan(fake_reader(), plan_of(1024), settings={"model": "other"}, save_to=path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"settings": {}, "answers": [{"x": 1}]}'])
def test_a_file_that_is_something_else_is_refused(tmp_path, content):
    """A file that this command did not write is never overwritten."""
    path = tmp_path / "notes.json"
    path.write_text(content)
    with pytest.raises(InvalidRequestError, match="a result file of this command"):
        run_plan(fake_reader(), plan_of(1024), settings=SETTINGS, save_to=path)
    assert path.read_text() == content


def test_the_default_plan_asks_enough():
    """At least 100 questions up to 32K, 40 at 128K and 50 at 1M, over two documents or more."""
    assert default_plan(32_768).questions == 100
    assert default_plan(131_072).questions == 40
    million = default_plan(1_000_000)
    assert (million.questions, million.documents) == (50, 2)
    assert sum(million.questions_of(i) for i in range(2)) == 50
    assert default_plan(1_000_000, questions=1).documents == 1


def test_a_document_is_a_function_of_the_plan():
    """Two runs of one plan ask the same questions of the same text."""
    first, second = ([d.build(encode) for d in plan_of(1024).documents()] for _ in range(2))
    assert first == second
    assert first[0].text != first[1].text


def test_depths_are_even_over_a_length():
    """The documents of a length together ask at evenly spaced depths, each once."""
    depths = [d for document in plan_of(1024, documents=4).documents() for d in document.depths]
    assert sorted(depths) == pytest.approx([(i + 0.5) / 6 for i in range(6)])
    built = next(plan_of(1024, documents=4).documents())
    assert [q.depth for q in built.build(encode).questions] == list(built.depths)


def test_an_unknown_task_is_named():
    """Task names are checked before anything is built."""
    with pytest.raises(InvalidRequestError, match="kinds is"):
        plan_of(1024, kinds=("riddle",))


def test_a_document_is_asked_for_one_pass_key():
    """Several of them are refused: one answer would be as right as another, or another task."""
    with pytest.raises(InvalidRequestError, match="passkey once"):
        plan_of(1024, kinds=("passkey", "single", "passkey"))
    with pytest.raises(InvalidRequestError, match=r"documents is 2: expected as many .*\(6\)"):
        plan_of(1024, kinds=("passkey",))
    single = plan_of(1024, documents=6, kinds=("passkey",))
    asked = [q.kind for d in single.documents() for q in d.build(encode).questions]
    assert asked == ["passkey"] * 6


def test_depths_fall_into_equal_parts():
    """0 is in the first part and 1 in the last."""
    assert [depth_bin(d) for d in (0.0, 0.09, 0.1, 0.95, 1.0)] == [0, 0, 1, 9, 9]


def test_tables_hold_every_question_once():
    """Rows of either table add up to the questions asked, and the intervals hold their share."""
    answers = run_plan(fake_reader(), plan_of(1024, 2048), settings=SETTINGS)
    tasks, depths = by_task(answers), by_depth(answers)
    assert sum(c.total for (row, _), c in tasks.cells.items() if row != "all") == 12
    assert sum(c.total for c in depths.cells.values()) == 12
    for cell in tasks.cells.values():
        low, high = cell.interval
        assert low <= cell.share <= high
    *_, (name, *shown) = tasks.lines()
    assert name == "all"
    assert all(text.startswith("1.00 [") for text in shown)


def test_a_cell_shows_its_interval():
    """95 of 100 is 0.95 with Wilson's interval."""
    assert str(Cell(total=100, successes=95)) == "0.95 [0.89, 0.98]"
