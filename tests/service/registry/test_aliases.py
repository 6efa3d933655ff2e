"""Aliases: moved in one step, with a history, and never to a version that is not there."""

import asyncio
import itertools
from pathlib import Path

import grpc
import pytest
from support.registry import MODEL, Registry, open_guard, serving_registry

Code = grpc.StatusCode


@pytest.fixture
async def three(any_registry: Registry) -> Registry:
    """A model with the versions 1, 2 and 3."""
    await any_registry.new_model()
    for _ in range(3):
        await any_registry.new_version()
    return any_registry


async def test_an_alias_points_where_it_was_moved_last(three: Registry) -> None:
    alias = await three.point("production", 1, reason="first")
    assert (alias.name, alias.version) == (f"{MODEL}/aliases/production", f"{MODEL}/versions/1")
    await three.point("production", 3, reason="better on French")
    answer = await three.call("GetModelAlias", name=f"{MODEL}/aliases/production")
    assert (answer.version.number, list(answer.version.aliases)) == (3, ["production"])
    model = (await three.call("GetModel", name=MODEL)).model
    assert [(one.name, one.version) for one in model.aliases] == [(alias.name, f"{MODEL}/versions/3")]
    assert list((await three.call("GetModelVersion", name=f"{MODEL}/versions/1")).version.aliases) == []


async def test_every_move_is_in_the_history(three: Registry) -> None:
    await three.point("production", 1, reason="first")
    await three.point("shadow", 1)
    await three.point("production", 2, reason="second", by="users/bob")
    await three.point("production", 2, reason="changes nothing")
    await three.call("DeleteModelAlias", name=f"{MODEL}/aliases/production", reason="gone")
    moves = (await three.call("ListAliasMoves", parent=MODEL, alias="production")).moves
    assert [(move.from_version, move.to_version, move.principal, move.reason) for move in moves] == [
        (2, 0, "users/ada", "gone"),
        (1, 2, "users/bob", "second"),
        (0, 1, "users/ada", "first"),
    ]
    # Page by page, those of all aliases.
    found, token = [], ""
    while True:
        page = await three.call("ListAliasMoves", parent=MODEL, page_size=1, page_token=token)
        found += [move.alias.rpartition("/")[2] for move in page.moves]
        token = page.next_page_token
        if not token:
            break
    assert found == ["production", "production", "shadow", "production"]


async def test_an_alias_to_a_version_that_is_not_there(three: Registry) -> None:
    assert (await three.refused("SetModelAlias", parent=MODEL, alias="a", version=4)).reason == "VERSION_NOT_FOUND"
    await three.call("DeleteModelVersion", name=f"{MODEL}/versions/2")
    assert (await three.refused("SetModelAlias", parent=MODEL, alias="a", version=2)).reason == "VERSION_NOT_FOUND"
    assert (await three.refused("GetModelAlias", name=f"{MODEL}/aliases/a")).reason == "ALIAS_NOT_FOUND"
    assert (await three.refused("DeleteModelAlias", name=f"{MODEL}/aliases/a")).reason == "ALIAS_NOT_FOUND"


async def test_a_version_with_aliases_is_deleted_with_them_or_not_at_all(three: Registry) -> None:
    await three.point("production", 2)
    await three.point("best", 2)
    refusal = await three.refused("DeleteModelVersion", name=f"{MODEL}/versions/2")
    assert (refusal.code, refusal.reason) == (Code.FAILED_PRECONDITION, "VERSION_HAS_ALIASES")
    assert refusal.metadata["aliases"] == "best,production"
    await three.call("DeleteModelVersion", name=f"{MODEL}/versions/2", delete_aliases=True)
    assert (await three.call("GetModel", name=MODEL)).model.aliases == []
    moves = (await three.call("ListAliasMoves", parent=MODEL)).moves
    assert [(move.from_version, move.to_version) for move in moves] == [(2, 0), (2, 0), (0, 2), (0, 2)]


async def test_latest_is_the_highest_number_there_is(three: Registry) -> None:
    assert await three.alias_number("latest") == 3
    await three.call("DeleteModelVersion", name=f"{MODEL}/versions/3")
    assert await three.alias_number("latest") == 2
    for reserved in ("latest", "Latest", "v7"):
        refusal = await three.refused("SetModelAlias", parent=MODEL, alias=reserved, version=1)
        assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "ALIAS_RESERVED")


async def test_aliases_have_limits(registry: Registry) -> None:
    await registry.new_model()
    await registry.new_version()
    await registry.point("a" * 255, 1)
    for wrong in ("a" * 256, "a b", "a/b", ""):
        refusal = await registry.refused("SetModelAlias", parent=MODEL, alias=wrong, version=1)
        assert refusal.code is Code.INVALID_ARGUMENT
    for n in range(99):
        await registry.point(f"a{n}", 1)
    refusal = await registry.refused("SetModelAlias", parent=MODEL, alias="one-more", version=1)
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "ALIAS_LIMIT_REACHED")


async def test_a_move_may_say_from_where(three: Registry) -> None:
    await three.point("production", 1, expected_version=0)
    refusal = await three.refused("SetModelAlias", parent=MODEL, alias="production", version=2, expected_version=0)
    assert (refusal.code, refusal.reason, refusal.metadata["version"]) == (Code.ABORTED, "ALIAS_MOVED", "1")
    await three.point("production", 2, expected_version=1)


async def test_moves_at_two_replicas_are_one_after_the_other(tmp_path: Path, documents_url: str) -> None:
    """Compare-and-move by many at once: each move begins where the one before it ended, and nobody is told otherwise."""
    guard = open_guard()
    async with (
        serving_registry(tmp_path, guard=guard, documents_url=documents_url) as one,
        serving_registry(tmp_path, guard=guard, documents_url=documents_url) as other,
    ):
        await one.new_model()
        for _ in range(4):
            await one.new_version()
        done: list[tuple[int, int]] = []
        refusals: set[grpc.StatusCode] = set()

        async def mover(registry: Registry, target: int) -> None:
            for _ in range(8):
                model = (await registry.call("GetModel", name=MODEL)).model
                here = int(model.aliases[0].version.rpartition("/")[2]) if model.aliases else 0
                if here == target:
                    continue
                try:
                    await registry.point("production", target, expected_version=here)
                except grpc.aio.AioRpcError as error:
                    refusals.add(error.code())
                else:
                    done.append((here, target))

        await asyncio.gather(*(mover(registry, target) for registry in (one, other) for target in range(1, 5)))
        moves = (await other.call("ListAliasMoves", parent=MODEL)).moves[::-1]
        history = [(move.from_version, move.to_version) for move in moves]
        assert sorted(history) == sorted(done)
        assert history[0][0] == 0
        assert refusals <= {Code.ABORTED}
        assert all(before[1] == after[0] for before, after in itertools.pairwise(history))
        assert await one.alias_number("production") == history[-1][1]


async def test_a_read_sees_the_move_that_was_acknowledged_at_another_replica(
    tmp_path: Path, documents_url: str
) -> None:
    guard = open_guard()
    async with (
        serving_registry(tmp_path, guard=guard, documents_url=documents_url) as one,
        serving_registry(tmp_path, guard=guard, documents_url=documents_url) as other,
    ):
        await one.new_model()
        for number in range(1, 6):
            await one.new_version()
            await one.point("production", number)
            assert await other.alias_number("production") == number
            assert await other.found_versions("aliases.production = true") == [f"digits/{number}"]
