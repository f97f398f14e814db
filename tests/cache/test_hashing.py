"""A page's name is all that its content depends on."""

from dataclasses import dataclass

import pytest
import torch

from longreach.cache import HashChain, fingerprint
from longreach.cache.hashing import chain_seed

PARTS = {
    "model": "m",
    "rope": {"type": "default", "theta": 1e6},
    "dual_chunk": {"chunk_size": 64, "cap": 64},
    "dtype": torch.bfloat16,
    "quantization": None,
    "adapter": None,
    "temperature_mode": "position",
}


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("model", "n"),
        ("rope", {"type": "default", "theta": 1e7}),
        ("dual_chunk", {"chunk_size": 64, "cap": 63}),
        ("dual_chunk", None),
        ("dtype", torch.float32),
        ("quantization", "int8"),
        ("adapter", "a"),
        ("temperature_mode", "off"),
    ],
)
def test_fingerprint_depends_on_each_part(part, value):
    """A change of any part changes the fingerprint."""
    assert fingerprint(**PARTS) != fingerprint(**{**PARTS, part: value})


def test_fingerprint_reads_dataclasses_and_bytes():
    """Frozen configs go in as they are; the order of parts does not matter."""

    @dataclass(frozen=True)
    class Config:
        theta: float
        inner: object = None

    assert fingerprint(a=Config(1.0), b=b"x") == fingerprint(b=b"x", a=Config(1.0))
    assert fingerprint(a=Config(1.0)) != fingerprint(a=Config(2.0))
    assert fingerprint(a=Config(1.0, Config(1.0))) != fingerprint(a=Config(1.0, Config(2.0)))
    assert fingerprint(a=b"x") != fingerprint(a=b"y")


def test_seed_depends_on_each_part():
    """Fingerprint, salt and request seed all count, and do not run together."""
    seeds = [
        chain_seed(b"f"),
        chain_seed(b"g"),
        chain_seed(b"f", "s"),
        chain_seed(b"f", "", b"s"),
        chain_seed(b"fs"),
        chain_seed(b"f", "s", b"s"),
        chain_seed(b"", "fs"),
    ]
    assert len(set(seeds)) == len(seeds)


def digests(tokens, seed=b"seed", page_size=4):
    chain = HashChain(seed, page_size)
    chain.append(tokens)
    return chain.digests


def test_digest_depends_on_seed_and_every_earlier_token():
    """Changing one token changes its page and all later ones, and none before."""
    tokens = list(range(12))
    base = digests(tokens)
    assert set(base).isdisjoint(digests(tokens, seed=b"other"))
    for at in range(12):
        changed = digests([*tokens[:at], 99, *tokens[at + 1 :]])
        assert [a == b for a, b in zip(base, changed, strict=True)] == [
            page < at // 4 for page in range(3)
        ]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 9])
def test_only_full_pages_have_digests(count):
    """A page gets its digest when its last token comes, however the tokens come."""
    tokens = list(range(count))
    whole, single = HashChain(b"s", 4), HashChain(b"s", 4)
    whole.append(tokens)
    for token in tokens:
        single.append((token,))
    assert len(whole.digests) == count // 4
    assert whole.num_tokens == single.num_tokens == count
    assert whole.digests == single.digests


@pytest.mark.parametrize("shared", [0, 3, 4, 7, 8, 20])
def test_num_shared_pages(shared):
    """Chains share the full pages of their common prefix."""
    one, two = HashChain(b"s", 4), HashChain(b"s", 4)
    one.append([*range(shared), 50, 51, 52, 53, 54])
    two.append([*range(shared), 60, 61, 62, 63])
    assert one.num_shared_pages(two) == two.num_shared_pages(one) == shared // 4
    assert one.num_shared_pages(one) == len(one.digests)


def test_large_token_ids():
    """Any id of a real vocabulary has its own digest; one beyond int32 is refused."""
    assert digests([150000] * 4) != digests([150001] * 4)
    with pytest.raises(OverflowError):
        digests([2**31] * 4)
