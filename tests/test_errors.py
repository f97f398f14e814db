"""What every error of ours has in common."""

import pickle

import pytest

from longreach import errors


@pytest.mark.parametrize(
    "error",
    [
        errors.ConfigError("config.json: a"),
        errors.ContextLengthError(1, 2, 3),
        errors.DocumentTooLargeError("a.pdf", "pages", 5, 4, "cut it"),
        errors.DocumentsTooLongError(1, 2, 3, "less"),
        errors.EngineBusyError("full", 1.0),
        errors.InvalidRequestError("seed", -1, "more"),
        errors.MemoryPlanError(2, 1, {"weights": 2}, "less"),
        errors.NoTextLayerError("a.pdf", (1,), "a scan", "read it"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_come_out_of_worker_processes(error):
    """An error survives pickling with its message and its attributes."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_a_long_value_is_cut():
    """A message stays a message, whatever the wrong value is."""
    nested = []
    for _ in range(10_000):
        nested = [nested]
    for value in (list(range(10**5)), 10**5000, nested):
        error = errors.InvalidRequestError("prompts", value, "a text")
        assert len(str(error)) < 600
        assert str(error).startswith("prompts is ")
        assert str(error).endswith(": expected a text")
