"""A store over a directory of its own."""

import pytest

from support.extents import open_store


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path)
    yield opened
    opened.close()
