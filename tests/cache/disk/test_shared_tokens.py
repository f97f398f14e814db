"""Pages on disk of which a prompt has only the first tokens."""

import pytest

from longreach.cache.provenance import DENSE, Provenance
from support.extents import LAYOUT, name_of, open_store, text_header, write_text

LOW = Provenance(mode="adaptive", target=0.9)
HIGH = Provenance(mode="adaptive", target=0.95)
HEAD = [*range(8)]
"""A full page."""


def shared(store, token_ids, wanted=DENSE, **named):
    """(tokens shared, digest of the page) with the last page of a text."""
    page = (len(token_ids) - 1) // LAYOUT.page_size
    part = store.find_shared(name_of(token_ids, page, **named), page, wanted)
    if part is None:
        return None
    assert (part.at, part.count, part.num_tokens) == (page, 1, part.num_shared)
    return part.num_shared, part.extent.header.digests[part.first]


def files(store):
    return {path.name for path in store.folder.glob("*.safetensors")}


def test_the_longest_beginning_is_found(store, tmp_path):
    """Of the pages that follow a prefix, the one that shares most leading tokens; after a restart
    too.
    """
    one, two = [*HEAD, 1, 2, 3, 4], [*HEAD, 1, 2, 9, *range(20, 30)]
    write_text(store, one)
    write_text(store, two, 1)
    for each in (store, open_store(tmp_path)):
        assert shared(each, [*HEAD, 1, 2, 3]) == (3, name_of(one, 1).digest)
        assert shared(each, [*HEAD, 1, 2, 9, 9]) == (3, name_of(two, 1).digest)
        assert shared(each, [*HEAD, 1, 2, 3, 4, 5]) == (4, name_of(one, 1).digest)
        assert shared(each, [0, 1, 5]) == (2, name_of(one, 0).digest)
        assert shared(each, [*HEAD, 2, 1]) is None


def test_a_beginning_must_serve(store):
    """A sparser page is passed over for one that shares less."""
    write_text(store, [*HEAD, 1, 2, 3, 4])
    write_text(store, [1, 2, 3, 4], made=LOW)
    write_text(store, [1, 2, 9], made=HIGH)
    assert shared(store, [1, 2, 3], LOW) == (3, name_of([1, 2, 3, 4], 0).digest)
    assert shared(store, [1, 2, 3], HIGH) == (2, name_of([1, 2, 9], 0).digest)
    assert shared(store, [1, 2, 3], DENSE) is None


def test_another_seed_finds_nothing(store):
    """A page is compared with those that follow the same digest alone: no salt sees another's."""
    write_text(store, [1, 2, 3])
    assert shared(store, [1, 2, 3], seed=b"seed") == (3, name_of([1, 2, 3], 0).digest)
    assert shared(store, [1, 2, 3], seed=b"other") is None


def test_unfinished_pages_are_not_found_as_full_ones(store):
    """The pages of a chain that are full are found by name, then the beginning of the next."""
    text = [*HEAD, *HEAD, 1, 2, 3]
    write_text(store, text)
    digests = [name_of([*text, *HEAD], page).digest for page in range(3)]
    assert [(part.count, part.num_tokens) for part in store.find(digests, 0, DENSE)] == [(2, 16)]
    assert shared(store, [*text, 4]) == (3, name_of(text, 2).digest)


@pytest.mark.parametrize("made", [DENSE, HIGH])
def test_a_longer_page_takes_the_place_of_an_unfinished_one(store, tmp_path, made):
    """Its file goes when nothing else is in it, and only then; a page that serves less takes none.

    Whichever file another process sees first.
    """
    write_text(store, HEAD, made=HIGH)
    write_text(store, [*HEAD, 1, 2], 1, made=HIGH)
    (whole,) = store.catalog.with_pages([name_of(HEAD, 0).digest])
    (short,) = store.catalog.with_pages([name_of([*HEAD, 1, 2], 1).digest])
    write_text(store, [*HEAD, 1, 2, 3], 1, made=LOW)
    assert len(files(store)) == 3
    write_text(store, [*HEAD, 1, 2, 4, 5], 1, made=made)
    assert short.path.name not in files(store)
    assert len(files(store)) == 3
    for each in (store, open_store(tmp_path)):
        assert shared(each, [*HEAD, 1, 2], HIGH) == (2, name_of([*HEAD, 1, 2, 4, 5], 1).digest)
        assert shared(each, [*HEAD, 1, 2, 3], LOW) == (3, name_of([*HEAD, 1, 2, 3], 1).digest)
    write_text(store, [*HEAD, 1, 2, 3, *range(20, 29)], 1, made=made)
    assert len(files(store)) == 3
    assert whole.path.name in files(store)


def test_a_file_with_other_pages_stays(store, tmp_path):
    """Of an extent whose unfinished page was superseded the full pages are still found."""
    write_text(store, [*HEAD, 1, 2])
    write_text(store, [*HEAD, 1, 2, 3], 1)
    assert len(files(store)) == 2
    for each in (store, open_store(tmp_path)):
        assert [part.count for part in each.find([name_of(HEAD, 0).digest], 0, DENSE)] == [1]
        assert shared(each, [*HEAD, 1, 2]) == (2, name_of([*HEAD, 1, 2, 3], 1).digest)
        assert each.catalog.extent_of(name_of([*HEAD, 1, 2], 1).digest) is None


def test_what_a_longer_page_has_is_not_kept(store):
    """An unfinished page that comes after one with its tokens and more takes no room."""
    write_text(store, [*HEAD, 1, 2, 3])
    write_text(store, [*HEAD, 1, 2], 1)
    assert len(files(store)) == 1
    assert text_header([*HEAD, 1, 2], 1).num_tokens == 2
    assert shared(store, [*HEAD, 1, 2]) == (2, name_of([*HEAD, 1, 2, 3], 1).digest)
