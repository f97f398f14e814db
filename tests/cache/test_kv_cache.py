"""The facade: prefixes found again, pages given and taken."""

import pytest
import torch

from longreach.cache import DENSE, KVCache, KVPool, Provenance

PAGE = 4
LOW = Provenance(mode="adaptive", target=0.9, recall_min=0.8, recall_mean=0.9)
HIGH = Provenance(mode="adaptive", target=0.95, recall_min=0.9, recall_mean=0.96)


def make_cache(num_pages=16, **options):
    return KVCache(num_pages, PAGE, **options)


def compute(cache, tokens, made=DENSE, **names):
    """A table with `tokens` computed as `made`, still owned."""
    table = cache.open_table(tokens, **names)
    cache.extend(table, len(tokens))
    cache.commit(table, len(tokens), made)
    cache.check()
    return table


def remember(cache, tokens, made=DENSE, **names):
    """Computes and releases."""
    cache.release(compute(cache, tokens, made, **names))
    cache.check()


@pytest.mark.parametrize(
    ("computed", "asked", "found"),
    [
        (0, 9, 0),
        (1, 9, 0),
        (PAGE - 1, 9, 0),
        (PAGE, 9, PAGE),
        (PAGE + 1, 9, PAGE),
        (2 * PAGE, 2 * PAGE, PAGE),
        (2 * PAGE, 2 * PAGE + 1, 2 * PAGE),
        (2 * PAGE, PAGE, 0),
        (2 * PAGE, 1, 0),
        (2 * PAGE, 0, 0),
    ],
)
def test_page_boundaries(computed, asked, found):
    """Only full pages are found, and the last token asked for is always left to compute."""
    cache = make_cache()
    remember(cache, range(computed))
    prefix = cache.match_prefix(range(asked))
    assert prefix.num_tokens == found
    assert len(prefix.pages) * PAGE == found


def test_matching_changes_nothing():
    """A look-up takes no page."""
    cache = make_cache()
    remember(cache, range(8))
    before = cache.stats()
    cache.match_prefix(range(9))
    assert cache.stats() == before


@pytest.mark.parametrize(
    "names",
    [{"cache_salt": "tenant"}, {"request_seed": b"base"}],
)
def test_names_keep_apart(names):
    """Salts and request seeds never share pages."""
    cache = make_cache()
    remember(cache, range(8), **names)
    assert cache.match_prefix(range(9)).num_tokens == 0
    assert cache.match_prefix(range(9), **names).num_tokens == 8


@pytest.mark.parametrize(
    ("made", "wanted", "found"),
    [
        (DENSE, DENSE, 8),
        (DENSE, HIGH, 8),
        (HIGH, HIGH, 8),
        (HIGH, LOW, 8),
        (LOW, HIGH, 0),
        (LOW, DENSE, 0),
    ],
)
def test_provenance_table(made, wanted, found):
    """Dense pages serve all; sparse ones only targets that are not higher."""
    cache = make_cache()
    remember(cache, range(8), made)
    assert cache.match_prefix(range(9), wanted=wanted).num_tokens == found


def test_better_replaces_worse():
    """A better page takes the name; the worse one is free at once."""
    cache = make_cache()
    remember(cache, range(8), LOW)
    remember(cache, range(8), DENSE)
    assert cache.match_prefix(range(9)).num_tokens == 8
    assert cache.stats().num_cached == 2
    remember(cache, range(8), LOW)
    assert cache.match_prefix(range(9)).num_tokens == 8
    assert cache.stats().num_cached == 2


def test_reused_recall_is_reported():
    """A reused prefix reports the least and the mean of what its pages stored."""
    cache = make_cache()
    table = cache.open_table(range(12))
    cache.extend(table, 12)
    cache.commit(table, 4, HIGH)
    cache.commit(table, 8, LOW)
    cache.release(table)
    prefix = cache.match_prefix(range(12), wanted=LOW)
    assert prefix.recall_min == 0.8
    assert prefix.recall_mean == pytest.approx(0.93)


def test_a_page_made_in_two_steps_reports_both():
    """The recall of a page that two slices share counts both."""
    cache = make_cache()
    table = cache.open_table(range(9))
    cache.extend(table, 9)
    for end, made in ((2, LOW), (3, HIGH), (9, HIGH)):
        cache.commit(table, end, made)
    cache.release(table)
    prefix = cache.match_prefix(range(5), wanted=LOW)
    assert prefix.recall_min == 0.8
    assert 0.9 < prefix.recall_mean < 0.96
    assert cache.match_prefix(range(9), wanted=LOW).num_tokens == 8
    assert cache.match_prefix(range(9), wanted=HIGH).num_tokens == 0


def test_dense_rows_on_a_sparse_prefix_stay_sparse():
    """What is decoded after a sparse prompt serves no dense request."""
    cache = make_cache()
    remember(cache, range(4), LOW)
    table = cache.open_table(range(12))
    cache.attach_prefix(table, cache.match_table(table, LOW))
    cache.extend(table, 12)
    cache.commit(table, 12, DENSE)
    cache.release(table)
    assert cache.match_prefix(range(13), wanted=LOW).num_tokens == 12
    assert cache.match_prefix(range(13), wanted=DENSE).num_tokens == 0
    remember(cache, range(4), DENSE)
    assert cache.match_prefix(range(13), wanted=LOW).num_tokens == 12
    assert cache.match_prefix(range(13), wanted=DENSE).num_tokens == 4


def test_reused_pages_are_shared():
    """Two requests on one prefix own the same pages; only the rest is new."""
    cache = make_cache()
    first = compute(cache, range(8))
    second = cache.open_table([*range(8), 50])
    cache.attach_prefix(second, cache.match_table(second, DENSE))
    cache.extend(second, 9)
    assert second.pages[:2] == first.pages
    assert cache.stats().num_owned == 3
    cache.check([first, second])


def test_a_lone_prompt_is_contiguous():
    """Grown in any slices, a lone prompt is one physical run."""
    cache = make_cache(64)
    table = cache.open_table(range(200))
    for end in (1, 3, 64, 65, 200):
        cache.extend(table, end)
    assert table.runs(200) == ((0, 0, 200),)
    assert table.num_slots == 200
    cache.release(table)
    assert table.runs(0) == ()


def test_eviction_takes_tails_first():
    """The oldest chain goes first, from its end, so that what stays can be found."""
    cache = make_cache(6)
    remember(cache, range(12))
    remember(cache, range(100, 112))
    other = compute(cache, range(200, 208))
    assert cache.match_prefix(range(13)).num_tokens == 4
    assert cache.match_prefix(range(100, 113)).num_tokens == 12
    cache.check([other])


def test_use_makes_young():
    """A prefix that was just reused is evicted last."""
    cache = make_cache(4)
    remember(cache, range(8))
    remember(cache, range(100, 108))
    table = cache.open_table(range(9))
    cache.attach_prefix(table, cache.match_table(table, DENSE))
    cache.release(table)
    compute(cache, range(200, 208))
    assert cache.match_prefix(range(9)).num_tokens == 8
    assert cache.match_prefix(range(100, 109)).num_tokens == 0


def test_using_a_copy_is_using_the_named_page():
    """A request with its own copy of a page keeps the named one as young as what follows it."""
    cache = make_cache()
    first = compute(cache, range(4))
    second = compute(cache, range(8))
    cache.release(first)
    cache.check([second])
    cache.release(second)
    cache.check()
    assert cache.match_prefix(range(9)).num_tokens == 8


def test_evicting_a_head_forgets_pages_in_use_below():
    """A page in use whose chain lost its head is free after use: it could not be found again."""
    cache = make_cache(5)
    first = compute(cache, range(4))
    second = compute(cache, range(8))  # its own first page is unnamed: the name was taken
    cache.release(first)
    cache.check([second])
    third = compute(cache, range(100, 112))
    assert cache.match_prefix(range(9)).num_tokens == 0
    cache.release(second)
    cache.release(third)
    assert cache.stats().num_cached == 3
    cache.check()


def test_reset_spares_pages_in_use():
    """After a reset nothing is found, and owners keep their pages."""
    cache = make_cache()
    remember(cache, range(100, 108))
    table = compute(cache, range(8))
    cache.reset_prefix_cache()
    cache.check([table])
    assert cache.match_prefix(range(9)).num_tokens == 0
    assert cache.match_prefix(range(100, 109)).num_tokens == 0
    assert cache.stats().num_owned == 2
    cache.release(table)
    assert cache.stats().num_free == 16


def test_forgetting_is_of_one_salt():
    """forget_unused frees one tenant's cached pages and counts them; all others stay."""
    cache = make_cache()
    remember(cache, range(8), cache_salt="a")
    remember(cache, range(12), cache_salt="b")
    table = compute(cache, range(20, 28), cache_salt="a")
    assert cache.forget_unused("a") == 2
    assert cache.match_prefix(range(9), "a").num_tokens == 0
    assert cache.match_prefix(range(13), "b").num_tokens == 12
    assert cache.match_prefix(range(20, 29), "a").num_tokens == 8
    cache.release(table)
    assert cache.forget_unused() == 5
    assert cache.stats().num_free == 16


def test_a_table_counts_the_pages_that_it_named():
    """Pages found, or named by another request first, are not counted; better ones are."""
    cache = make_cache()
    first, second = (cache.open_table(range(12)) for _ in range(2))
    for table in (first, second):
        cache.extend(table, 12)
        cache.commit(table, 12, LOW)
    assert (first.num_named, second.num_named) == (3, 0)
    better = compute(cache, range(12), HIGH)
    assert better.num_named == 3
    for table in (first, second, better):
        cache.release(table)
    assert first.num_named == 3


def test_no_caching():
    """With prefix caching off nothing is named: all pages are free after use."""
    cache = make_cache(enable_prefix_caching=False)
    remember(cache, range(8))
    assert cache.match_prefix(range(9)).num_tokens == 0
    assert cache.stats().num_free == 16


def test_fits_counts_the_prefix_once():
    """Cached pages of the prefix are not counted as room for the rest."""
    cache = make_cache(4)
    remember(cache, range(8))
    prefix = cache.match_prefix(range(16))
    assert prefix.num_tokens == 8
    assert cache.num_available == 4
    assert cache.fits(prefix, 16)
    assert not cache.fits(prefix, 17)
    assert not cache.fits(prefix, 16, num_spare=1)


def test_asking_for_too_much_is_a_bug():
    """Growing beyond what is available fails before anything is evicted."""
    cache = make_cache(2)
    remember(cache, range(8))
    table = cache.open_table(range(100, 109))
    assert cache.num_missing(table, 9) == 3
    with pytest.raises(AssertionError):
        cache.extend(table, 9)
    assert cache.stats().num_cached == 2


def test_pool_gives_the_bytes():
    """Bytes of a page are those of the pool, or nothing where there is none."""
    pool = KVPool(
        num_layers=1, num_kv_heads=1, head_dim=2, num_pages=3, page_size=PAGE, dtype=torch.float32
    )
    assert KVCache(3, PAGE, pool=pool).bytes_per_page == 64
    assert make_cache().bytes_per_page == 0
