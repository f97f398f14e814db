"""The facade: prefixes found again, pages given and taken."""

import pytest
import torch

from longreach.cache import DENSE, KVCache, Provenance
from support.pools import small_pool

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
        (1, 9, 1),
        (PAGE - 1, 9, PAGE - 1),
        (PAGE, 9, PAGE),
        (PAGE + 1, 9, PAGE + 1),
        (2 * PAGE, 2 * PAGE, 2 * PAGE - 1),
        (2 * PAGE, 2 * PAGE + 1, 2 * PAGE),
        (2 * PAGE, PAGE, PAGE - 1),
        (2 * PAGE, 1, 0),
        (2 * PAGE, 0, 0),
    ],
)
def test_every_token_but_the_last_is_found(computed, asked, found):
    """To the token, within a page too; the last token asked for is always left to compute."""
    cache = make_cache()
    remember(cache, range(computed))
    prefix = cache.match_prefix(range(asked))
    assert prefix.num_tokens == found
    assert len(prefix.pages) == found // PAGE
    assert prefix.in_full_pages().num_tokens == found // PAGE * PAGE
    assert (prefix.shared is not None) == (found % PAGE > 0)


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
    cache.start(table, cache.match_table(table, LOW), 12)
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
    cache.start(second, cache.match_table(second, DENSE), 9)
    assert second.pages[:2] == first.pages
    assert cache.stats().num_owned == 3
    cache.check([first, second])


def make_pool(num_pages=16):
    """A pool in which every row of every tensor is another one."""
    pool = small_pool(num_pages, PAGE, num_layers=2, num_kv_heads=2, head_dim=3)
    for at, tensor in enumerate((*pool.k, *pool.v)):
        tensor.copy_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(at)))
    return pool


@pytest.mark.parametrize("num_shared", [1, 2, 3])
def test_shared_tokens_are_copied(num_shared):
    """To the bit, into a page of the request's own; no other row is written, and none is shared."""
    pool = make_pool()
    cache = make_cache(pool=pool)
    remember(cache, range(8))
    before = [tensor.clone() for tensor in (*pool.k, *pool.v)]
    table = cache.open_table([*range(4 + num_shared), 50, 51, 52, 53])
    prefix = cache.match_table(table, DENSE)
    cache.start(table, prefix, 8 + num_shared)
    assert prefix.num_tokens == table.num_computed == 4 + num_shared
    source, own = prefix.shared.page, table.pages[1]
    assert table.pages[0] == prefix.pages[0]
    assert own != source
    assert cache.allocator.num_owners(source) == 0
    for tensor, old in zip((*pool.k, *pool.v), before, strict=True):
        old[:, own * PAGE : own * PAGE + num_shared] = old[
            :, source * PAGE : source * PAGE + num_shared
        ]
        assert torch.equal(tensor, old)
    cache.check([table])


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ([*range(7)], 6),
        ([*range(9)], 7),
        ([*range(7), 50], 7),
        ([*range(6), 50, 51, 52], 6),
        ([*range(4), 50], 4),
        ([*range(2), 50, 51], 2),
        ([50, *range(7)], 0),
    ],
)
def test_an_unfinished_page_is_found(asked, found):
    """After its request has ended, by whoever goes on from it or parts from it on the way."""
    cache = make_cache()
    remember(cache, range(7))
    assert cache.stats().num_cached == 2
    assert cache.match_prefix(asked).num_tokens == found


def test_a_longer_page_takes_the_place_of_an_unfinished_one():
    """One that has its tokens and more; not one that differs, nor one that serves less."""
    cache = make_cache()
    remember(cache, range(6))
    assert cache.stats().num_cached == 2
    remember(cache, range(7))
    assert cache.stats().num_cached == 2
    remember(cache, range(5))
    assert cache.stats().num_cached == 2
    remember(cache, [*range(5), 50])
    assert cache.stats().num_cached == 3
    remember(cache, range(8), LOW)
    assert cache.stats().num_cached == 4
    assert cache.match_prefix(range(9)).num_tokens == 7
    assert cache.match_prefix(range(9), wanted=LOW).num_tokens == 8
    assert cache.match_prefix([*range(5), 50, 51]).num_tokens == 6


def test_a_page_made_better_takes_the_place_of_unfinished_ones():
    """It held their tokens before, and now serves as much as they do."""
    cache = make_cache()
    remember(cache, range(8), LOW)
    remember(cache, range(7))
    assert cache.stats().num_cached == 3
    remember(cache, range(8))
    assert cache.stats().num_cached == 2
    assert cache.match_prefix(range(9)).num_tokens == 8


def test_what_shared_tokens_go_on_to_takes_their_place():
    """A request that grows from a copy names what it made of it; a copy alone names nothing."""
    cache = make_cache()
    remember(cache, range(6), HIGH)
    for end, num_computed in ((6, 5), (8, 8)):
        table = cache.open_table(range(end))
        prefix = cache.match_table(table, LOW)
        cache.start(table, prefix, end)
        if num_computed > prefix.num_tokens:
            cache.commit(table, num_computed, LOW)
        cache.release(table)
        cache.check()
    assert cache.match_prefix(range(9), wanted=LOW).num_tokens == 8
    assert cache.match_prefix(range(9), wanted=HIGH).num_tokens == 6


def test_unfinished_pages_of_three_lengths_keep_the_laws():
    """One is made better while a shorter one is there, another lies between them."""
    cache = make_cache()
    for tokens, made in ((3, LOW), (1, HIGH), (3, DENSE), (2, HIGH)):
        remember(cache, range(tokens), made)
    assert cache.match_prefix(range(4)).num_tokens == 3


def test_without_room_for_the_copy_a_request_starts_from_full_pages():
    """The page that is copied from has to stay meanwhile: it does not count as available."""
    cache = make_cache(2)
    remember(cache, range(8))
    table = cache.open_table([*range(6), 50])
    prefix = cache.match_table(table, DENSE)
    assert prefix.num_tokens == 6
    assert not cache.fits(prefix, 7)
    assert cache.fits(prefix.in_full_pages(), 7)
    assert prefix.in_full_pages().in_full_pages() == prefix.in_full_pages()
    cache.start(table, prefix.in_full_pages(), 7)
    assert table.num_computed == 4
    assert cache.stats().num_cached == 0
    cache.check([table])


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
    cache.start(table, cache.match_table(table, DENSE), 9)
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


def test_forgetting_spares_pages_in_use():
    """What nobody owns is not found any more; owned pages stay, and can still be found."""
    cache = make_cache()
    remember(cache, range(100, 108))
    table = compute(cache, range(8))
    assert cache.forget_unused() == 2
    cache.check([table])
    assert cache.match_prefix(range(9)).num_tokens == 8
    assert cache.match_prefix(range(100, 109)).num_tokens == 0
    assert cache.stats().num_owned == 2
    cache.release(table)
    assert cache.stats().num_cached == 2


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


def test_a_table_counts_the_tokens_that_it_named():
    """Tokens found, or named by another request first, are not counted; better ones are."""
    cache = make_cache()
    first, second = (cache.open_table(range(12)) for _ in range(2))
    for table in (first, second):
        cache.extend(table, 12)
        cache.commit(table, 12, LOW)
    assert (first.num_named, second.num_named) == (12, 0)
    better = compute(cache, range(12), HIGH)
    assert better.num_named == 12
    for table in (first, second, better):
        cache.release(table)
    assert first.num_named == 12


@pytest.mark.parametrize(
    ("known", "asked", "answer", "named"),
    [(0, 11, 0, 11), (0, 11, 3, 11), (6, 11, 0, 5), (8, 11, 2, 3), (11, 11, 4, 1), (3, 1, 0, 0)],
)
def test_named_tokens_are_counted_one_by_one(known, asked, answer, named):
    """The unfinished page counts as far as it holds the prompt, and was not found."""
    cache = make_cache()
    remember(cache, range(known))
    table = cache.open_table(range(asked))
    cache.start(table, cache.match_prefix(range(asked)), asked)
    cache.commit(table, asked, DENSE)
    table.chain.append(range(100, 100 + answer))
    cache.extend(table, asked + answer)
    cache.commit(table, asked + answer, DENSE)
    cache.release(table)
    assert table.num_named == named


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
    assert KVCache(3, PAGE, pool=small_pool(3, PAGE)).bytes_per_page == 64
    assert make_cache().bytes_per_page == 0


def test_full_pages_alone_are_described_by_themselves():
    """What a copied beginning was made like says nothing of a prefix that does without it."""
    cache = make_cache()
    compute_and_release(cache, range(PAGE), DENSE)
    table = cache.open_table(range(2 * PAGE - 1))
    cache.start(table, cache.match_table(table, LOW), 2 * PAGE - 1)
    cache.commit(table, 2 * PAGE - 1, LOW)
    cache.release(table)
    prefix = cache.match_prefix([*range(2 * PAGE - 1), 99, 98], wanted=LOW)
    assert (prefix.num_tokens, prefix.made.mode) == (2 * PAGE - 1, "adaptive")
    whole = prefix.in_full_pages()
    assert (whole.num_tokens, whole.made, whole.recall_min) == (PAGE, DENSE, 1.0)


def test_an_idle_page_gives_its_name_to_one_in_use():
    """Else it could be evicted, and with it the names of all that its reader computed after it."""
    cache = make_cache()
    compute_and_release(cache, range(2 * PAGE), DENSE)
    table = compute(cache, range(4 * PAGE))  # all of it, reusing nothing
    pages = list(table.pages)
    others = cache.open_table(range(100, 100 + 12 * PAGE))
    cache.extend(others, 12 * PAGE)  # all that is left
    cache.release(table)
    assert cache.match_prefix([*range(4 * PAGE), 99]).pages == tuple(pages)


def compute_and_release(cache, tokens, made):
    cache.release(compute(cache, tokens, made))
