"""A page's name is all that its content depends on."""

from array import array
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longreach.cache import HashChain, fingerprint
from longreach.cache.hashing import PageName, chain_seed, num_shared_tokens

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


def int32(*tokens):
    return array("i", tokens).tobytes()


@pytest.mark.parametrize(
    ("page", "num_tokens", "held"),
    [(0, 0, []), (0, 3, [0, 1, 2]), (0, 9, [0, 1, 2, 3]), (1, 6, [4, 5]), (1, 8, [4, 5, 6, 7])],
)
def test_a_page_is_named_by_what_it_holds(page, num_tokens, held):
    """A name has the tokens that are there and the digest before them; a full page's is known."""
    chain = HashChain(b"seed", 4)
    chain.append(range(9))
    name = chain.name_of(page, num_tokens)
    assert name.tokens == int32(*held)
    assert name.parent == chain.parent_of(page)
    assert name.is_first is (page == 0)
    assert (name.digest in chain.digests) is (len(held) == 4)
    assert name == chain.name_of(page, num_tokens)
    assert (name.digest == chain.digests[page]) is (len(held) == 4)


def test_the_seed_comes_before_the_first_page():
    """The parent of a page is the digest before it; of the first one it is the seed."""
    chain = HashChain(b"seed", 4)
    chain.append(range(8))
    assert [chain.parent_of(page) for page in range(3)] == [b"seed", *chain.digests]


def test_an_unfinished_page_is_named_as_if_pages_were_so_long():
    """Its digest is that of the chain's formula over the tokens that it has."""
    chain = HashChain(b"seed", 4)
    chain.append(range(3))
    assert chain.name_of(0, 3).digest == digests(range(3), page_size=3)[0]
    assert len({chain.name_of(0, count).digest for count in range(4)}) == 4


@pytest.mark.parametrize(
    ("held", "others", "extends"),
    [
        ([1, 2, 3], [1, 2], True),
        ([1, 2, 3], [], True),
        ([1, 2, 3], [1, 2, 3], False),
        ([1, 2], [1, 2, 3], False),
        ([1, 2, 3], [1, 3], False),
    ],
)
def test_extending_is_holding_all_and_more(held, others, extends):
    """A page extends a sibling that has fewer tokens, all of them its own first ones."""
    name, other = (
        PageName(b"", b"seed", int32(*tokens), is_first=True) for tokens in (held, others)
    )
    assert name.extends(other) is extends


ids = st.lists(st.sampled_from([0, 1, 256, 2**31 - 1, -1]), max_size=20)


@given(common=ids, left=ids, right=ids)
def test_shared_tokens_are_counted_whole(common, left, right):
    """As many as a loop over the ids counts, however alike the bytes of two ids are."""
    left, right = common + left, common + right
    shared = 0
    while shared < min(len(left), len(right)) and left[shared] == right[shared]:
        shared += 1
    assert num_shared_tokens(int32(*left), int32(*right)) == shared
