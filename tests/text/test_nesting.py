import pytest

from longreach.text.nesting import MAX_NESTING, is_too_deep


def nested(depth, wrap=lambda value: [value]):
    value = 1
    for _ in range(depth):
        value = wrap(value)
    return value


@pytest.mark.parametrize("wrap", [lambda value: [1, value], lambda value: {"a": value, "b": 2}])
def test_where_the_limit_is(wrap):
    """So many levels are let in, one more is not; nothing else counts."""
    assert not is_too_deep(nested(MAX_NESTING, wrap))
    assert is_too_deep(nested(MAX_NESTING + 1, wrap))


@pytest.mark.parametrize("value", [1, None, "[" * 1000, [], {}, [[]] * 1000])
def test_what_is_flat(value):
    """Texts and width are not depth."""
    assert not is_too_deep(value)


def test_a_depth_that_no_stack_has():
    """It is told without recursion."""
    assert is_too_deep(nested(100_000))
