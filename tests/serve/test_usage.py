"""Figures of an answer, in the fields that clients know."""

from longreach.engine.outputs import RequestMetrics
from longreach.serve.usage import timings_of


def test_drafts_are_told_where_there_were_any():
    """llama.cpp's names; without drafts there are no such fields."""
    timings = timings_of(RequestMetrics(num_draft_tokens=12, num_accepted_tokens=7))
    assert (timings["draft_n"], timings["draft_n_accepted"]) == (12, 7)
    assert not timings_of(RequestMetrics()).keys() & {"draft_n", "draft_n_accepted"}
