"""An engine that is started again finds what it had read."""

import asyncio
import errno
import os
from dataclasses import replace

import pytest
import torch

from longreach.cache.disk import extent as extent_module
from longreach.cache.disk import files
from longreach.config import SparsePolicy
from longreach.engine.protocol import PrefixPin
from support.async_engine import ask, prompt_ids, request, running
from support.restarting import answer, pages_of, started

SPARSE = SparsePolicy(budget=(8, 8), min_tokens=64)


@pytest.fixture(autouse=True)
def _small_extents(monkeypatch):
    """Four pages of 16 tokens."""
    monkeypatch.setattr(extent_module, "EXTENT_TOKENS", 64)


def tokens(output):
    return output.outputs[0].token_ids


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("sparse", [SparsePolicy(mode="off"), SPARSE], ids=["dense", "sparse"])
def test_restored_is_never_evicted_to_the_bit(tiny_dca, tmp_path, dtype, sparse):
    """Keys, values, provenance, recall and answers after a restart are those from before it."""
    how = {"kv_cache_dtype": dtype, "sparse": sparse}
    with started(tiny_dca, tmp_path, **how) as engine:
        answer(engine, request(500, max_tokens=1))
        before = pages_of(engine, prompt_ids(500))
        answer(engine, request(500))  # its last page takes the place of the first one's
        kept = answer(engine, request(500))
    with started(tiny_dca, tmp_path, **how) as engine:
        restored = answer(engine, request(500))
        after = pages_of(engine, prompt_ids(500))
    assert len(before) == len(after) == 31
    assert before[0][1].is_dense == (sparse.mode == "off")
    for (old, old_made), (new, new_made) in zip(before, after, strict=True):
        assert old_made == new_made
        assert all(torch.equal(a, b) for a, b in zip(old, new, strict=True))
    assert tokens(restored) == tokens(kept)
    assert restored.metrics.num_cached_tokens == kept.metrics.num_cached_tokens == 499
    assert restored.metrics.num_restored_tokens == 499
    assert restored.metrics.recall_mean == kept.metrics.recall_mean
    assert restored.metrics.recall_min == kept.metrics.recall_min


def test_restored_after_eviction_in_one_process(tiny_qwen2, tmp_path):
    """What the pool had to give up comes back from disk, and the answer is the same."""
    with started(tiny_qwen2, tmp_path, num_kv_tokens=320) as engine:
        first = answer(engine, request(250))
        answer(engine, request(300, seed=1))
        assert engine.cache.disk.store.flush(10)
        again = answer(engine, request(250))
        engine.check()
    assert again.metrics.num_restored_tokens > 0
    assert again.metrics.num_cached_tokens == 249
    assert tokens(again) == tokens(first)


def test_a_second_question_shares_what_the_first_wrote(tiny_qwen2, tmp_path):
    """Another question over the same document restores the document alone; its own pages are
    added to what is on disk, and nothing is written twice.
    """
    document = prompt_ids(200)
    with started(tiny_qwen2, tmp_path) as engine:
        answer(engine, replace(request(), prompt_token_ids=document + prompt_ids(40, 1)))
    with started(tiny_qwen2, tmp_path) as engine:
        second = answer(engine, replace(request(), prompt_token_ids=document + prompt_ids(40, 2)))
        engine.cache.disk.store.flush(10)
        written = [e.header.num_pages for e in engine.cache.disk.store.catalog.extents]
    assert second.metrics.num_restored_tokens == 200
    # 16 pages of the first prompt with its answer, the last one unfinished; of the second those
    # after the 12 shared ones: the page where it parts is its own.
    assert sum(written) == 16 + 4


def shared_rows(engine, token_ids):
    """Keys and values of the tokens that the page after a prompt's full pages shares with it."""
    shared, size = engine.cache.match_prefix(token_ids).shared, engine.cache.page_size
    rows = slice(shared.page * size, shared.page * size + shared.num_tokens)
    return [tensor[:, rows].clone() for tensor in (*engine.cache.pool.k, *engine.cache.pool.v)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("at", [5, 191, 193, 207])
def test_a_second_question_starts_where_it_differs(tiny_dca, tmp_path, at, dtype):
    """After a restart at that very token, within a page too; what is before it is there to the
    bit, and the answer is that of an engine that read it all.
    """
    document = prompt_ids(at)
    one, two = (
        replace(request(), prompt_token_ids=[*document, own, *prompt_ids(40, own)])
        for own in (5, 6)
    )
    how = {"kv_cache_dtype": dtype}
    with started(tiny_dca, tmp_path, **how) as engine:
        answer(engine, one)
        before = shared_rows(engine, [*document, 7])
    with started(tiny_dca, tmp_path, **how) as engine:
        second = answer(engine, two)
        after = shared_rows(engine, [*document, 7])
    with started(tiny_dca, tmp_path / "empty", **how) as engine:
        fresh = answer(engine, two)
    assert second.metrics.num_cached_tokens == second.metrics.num_restored_tokens == at
    assert before[0].shape[1] == at % 16
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert tokens(second) == tokens(fresh)


def test_short_documents_are_whole(tiny_qwen2, tmp_path):
    """Every token of a prompt that fills no extent is on disk; the last is computed for logits."""
    with started(tiny_qwen2, tmp_path) as engine:
        answer(engine, request(50))
    with started(tiny_qwen2, tmp_path) as engine:
        assert answer(engine, request(50)).metrics.num_restored_tokens == 49


@pytest.mark.parametrize(
    "change",
    [{"salt": "other"}, {"dtype": "bfloat16"}, {"kv_cache_dtype": "bfloat16"}, {"page_size": 32}],
)
def test_what_differs_never_hits(tiny_qwen2, tmp_path, change):
    """Another salt, dtype or page size finds nothing; two salts never share."""
    salt = change.get("salt", "")
    settings = {key: value for key, value in change.items() if key != "salt"}
    with started(tiny_qwen2, tmp_path) as engine:
        answer(engine, request(100))
    with started(tiny_qwen2, tmp_path, **settings) as engine:
        assert answer(engine, request(100, salt=salt)).metrics.num_cached_tokens == 0
    with started(tiny_qwen2, tmp_path) as engine:
        assert answer(engine, request(100)).metrics.num_cached_tokens == 99


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"rope_theta": 5000.0}, {"rms_norm_eps": 1e-5}], ids=str
)
def test_another_model_never_hits(make_checkpoint, tmp_path, other):
    """Other weights of the same shape, another rope, another norm: nothing is shared."""
    with started(make_checkpoint("qwen2"), tmp_path) as engine:
        answer(engine, request(100))
    with started(make_checkpoint("qwen2", **other), tmp_path) as engine:
        assert answer(engine, request(100)).metrics.num_cached_tokens == 0


def test_sparse_pages_serve_no_dense_request(tiny_dca, tmp_path):
    """A dense engine recomputes what a sparse one left, and leaves better pages in its place."""
    with started(tiny_dca, tmp_path, sparse=SPARSE) as engine:
        answer(engine, request(300))
    with started(tiny_dca, tmp_path) as engine:
        assert answer(engine, request(300)).metrics.num_cached_tokens == 0
    with started(tiny_dca, tmp_path, sparse=SPARSE) as engine:
        assert answer(engine, request(300)).metrics.num_restored_tokens == 299
        made = {made for _, made in pages_of(engine, prompt_ids(300)[:288])}
        assert all(m.is_dense for m in made)


def test_damage_is_computed_again(tiny_qwen2, tmp_path, caplog):
    """A flipped bit ends what is restored before it; the rest is computed, the answer the same."""
    with started(tiny_qwen2, tmp_path) as engine:
        first = answer(engine, request(250))
        engine.cache.disk.store.flush(10)
        extents = sorted(engine.cache.disk.store.catalog.extents, key=lambda e: e.header.first_page)
    path = extents[1].path
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    with started(tiny_qwen2, tmp_path) as engine:
        again = answer(engine, request(250))
    assert again.metrics.num_restored_tokens == again.metrics.num_cached_tokens == 64
    assert tokens(again) == tokens(first)
    assert sum("removed" in line for line in caplog.messages) == 1
    with started(tiny_qwen2, tmp_path) as engine:
        assert answer(engine, request(250)).metrics.num_restored_tokens == 249


def test_a_full_disk_fails_no_request(tiny_qwen2, tmp_path, monkeypatch, caplog):
    """ENOSPC is one log line; requests go on as if there were no disk."""

    def full(handle, buffers):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with started(tiny_qwen2, tmp_path) as engine:
        monkeypatch.setattr(files, "write_all", full)
        for seed in range(3):
            answer(engine, request(200, seed=seed))
            engine.cache.disk.store.flush(10)
        assert answer(engine, request(200)).metrics.num_cached_tokens == 199
    assert sum("nothing is written" in line for line in caplog.messages) == 1


def test_restoring_lets_others_answer(tiny_qwen2, tmp_path):
    """While a long prompt comes from disk, extent by extent, another request gets its tokens."""
    with started(tiny_qwen2, tmp_path) as engine:
        answer(engine, request(800))
    with started(tiny_qwen2, tmp_path) as engine:
        engine.add_request(request(20, seed=9, max_tokens=40, request_id="short"))
        engine.step()
        engine.add_request(request(800, request_id="long", max_tokens=2))
        told = []
        while engine.has_unfinished:
            told += [output.request_id for output in engine.step()]
            engine.check()
    # 50 pages, four an extent: the short one had a token in each of the steps between.
    assert told.index("long") >= 12


def test_leaving_while_restoring_keeps_the_laws(tiny_qwen2, tmp_path):
    """Aborted half restored, a request gives its pages back, and those restored stay cached."""
    with started(tiny_qwen2, tmp_path) as engine:
        answer(engine, request(800))
    with started(tiny_qwen2, tmp_path) as engine:
        engine.add_request(request(20, seed=9, max_tokens=400, request_id="other"))
        engine.step()
        engine.add_request(request(800, request_id="long"))
        engine.step()
        engine.step()
        engine.abort("long")
        engine.step()
        engine.check()
        found = engine.cache.match_prefix(prompt_ids(800)).num_tokens
        engine.cancel(["other"])
        assert answer(engine, request(800)).metrics.num_cached_tokens == 799
    assert 0 < found < 784


def test_pins_survive_a_restart(tiny_qwen2, tmp_path):
    """A pinned prompt outlives what would push it out, in later processes too, on disk and off."""
    pinned = replace(request(100), pins=(PrefixPin(num_tokens=100, label="book.pdf"),))
    tiny = {"max_bytes": 60_000, "num_kv_tokens": 320}
    with started(tiny_qwen2, tmp_path, **tiny) as engine:
        answer(engine, pinned)
    for seed in (1, 2):
        with started(tiny_qwen2, tmp_path, **tiny) as engine:
            answer(engine, request(250, seed=seed))
    with started(tiny_qwen2, tmp_path, **tiny) as engine, running(engine) as served:
        state = asyncio.run(served.prefix_state(prompt_ids(100)))
        assert (state.pinned, state.num_memory_tokens, state.num_disk_tokens) == (True, 0, 96)
        assert state.num_bytes == 6 * engine.cache.bytes_per_page
        asyncio.run(ask(served, request(100)))
        for seed in (3, 4):
            asyncio.run(ask(served, request(200, seed=seed)))
        state = asyncio.run(served.prefix_state(prompt_ids(100)))
        assert (state.pinned, state.num_memory_tokens) == (True, 96)


def test_the_estimate_counts_the_disk(tiny_qwen2, tmp_path):
    """Tokens on disk count as cached, apart too; their time is that of reading bytes."""
    with started(tiny_qwen2, tmp_path) as engine:
        answer(engine, request(500))
    with started(tiny_qwen2, tmp_path) as engine, running(engine) as served:
        before = asyncio.run(served.estimate(prompt_ids(500), max_tokens=5))
        unknown = asyncio.run(served.estimate(prompt_ids(500, 5), max_tokens=5))
        told = asyncio.run(ask(served, request(500)))
        after = asyncio.run(served.estimate(prompt_ids(500), max_tokens=5))
    assert (before.num_cached_tokens, before.num_disk_tokens) == (499, 499)
    assert (after.num_cached_tokens, after.num_disk_tokens) == (499, 0)
    assert before.seconds < unknown.seconds
    first = told.progress[0]
    assert (first.processed, first.cached, told.last.metrics.num_restored_tokens) == (499,) * 3


def test_resetting_forgets_the_disk(tiny_qwen2, tmp_path):
    """Of one salt: its prompts are gone from memory and disk; those of others stay."""
    with started(tiny_qwen2, tmp_path) as engine, running(engine) as served:

        async def main():
            for salt in "ab":
                await ask(served, request(100, salt=salt))
            engine.cache.disk.store.flush(10)
            await served.reset_prefix_cache(cache_salt="a")
            return [await served.prefix_state(prompt_ids(100), cache_salt=s) for s in "ab"]

        gone, kept = asyncio.run(main())
    assert (gone.num_memory_tokens, gone.num_disk_tokens) == (0, 0)
    assert (kept.num_memory_tokens, kept.num_disk_tokens) == (96, 96)


def test_without_prefix_caching_there_is_no_disk(tiny_qwen2, tmp_path):
    """Where keys depend on more than their prefix, nothing is written."""
    with started(tiny_qwen2, tmp_path / "c", enable_prefix_caching=False) as engine:
        answer(engine, request(100))
    assert not (tmp_path / "c").exists()
