"""The cache of tables."""

from dataclasses import dataclass

from penstock_kit.search import ByteBoundedCache


@dataclass
class Block:
    nbytes: int


def test_the_least_recently_used_goes_first() -> None:
    cache: ByteBoundedCache[Block] = ByteBoundedCache(100)
    for key in ("a", "b"):
        cache.put(key, Block(40))
    assert cache.get("a") is not None
    cache.put("c", Block(40))
    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert cache.nbytes == 80


def test_growth_counts_when_it_is_put_again() -> None:
    cache: ByteBoundedCache[Block] = ByteBoundedCache(100)
    block = Block(10)
    cache.put("a", block)
    cache.put("b", Block(50))
    block.nbytes = 80
    cache.put("a", block)
    assert cache.get("b") is None
    assert cache.nbytes == 80


def test_one_that_is_too_large_stays_alone() -> None:
    cache: ByteBoundedCache[Block] = ByteBoundedCache(100)
    cache.put("a", Block(10))
    cache.put("b", Block(1_000))
    assert cache.get("a") is None
    assert cache.get("b") is not None
    cache.put("c", Block(1))
    assert cache.get("b") is None


def test_drop() -> None:
    cache: ByteBoundedCache[Block] = ByteBoundedCache(100)
    cache.put("a", Block(10))
    cache.drop("a")
    cache.drop("a")
    assert cache.get("a") is None
    assert cache.nbytes == 0
