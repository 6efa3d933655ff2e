"""The index over runs, on real embedded stores: what it finds, and that it sees every acknowledged write."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.run_index import PROJECT, Platform, platform_at

from penstock_kit.paging import PageTokenInvalid
from penstock_kit.search import FilterInvalid, OrderInvalid
from penstock_tracking.domain import JsonText, RunState
from penstock_tracking.errors import RunNotFound
from penstock_tracking.search import GroupQuery, RunQuery
from penstock_tracking.series.latest import LatestValue
from penstock_tracking.store import RUNS


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    async with platform_at(tmp_path) as made:
        yield made


async def test_every_field_can_be_asked_for(platform: Platform) -> None:
    run = await platform.add(
        7,
        experiment_id="3",
        display_name="swift-delta",
        state=RunState.FINISHED,
        create_us=2_000_000,
        update_us=3_000_000,
        end_us=9_500_000,
        heartbeat_us=8_000_000,
        notes="try again",
        group="sweep",
        forked_from=f"projects/{PROJECT}/runs/{1:032x}",
        params={
            "lr": 0.01,
            "model": "resnet50",
            "layers": 50,
            "debug": False,
            "size": JsonText("[224, 224]"),
            "a b": "x",
        },
        tags={"mlflow.runName": "swift"},
        summary={"best": 0.9},
    )
    await platform.log_points(run, "val/loss", [0.5, 0.2, 0.4])
    for text in (
        f"run_id = '{run.run_id}'",
        "name = 'swift-delta' and display_name like 'swift%'",
        "experiment = '3' and experiment = 3",
        "state = 'FINISHED' and status = 'FINISHED'",
        "lifecycle_stage = 'ACTIVE'",
        "start_time = '1970-01-01T00:00:07Z' and start_time = 7000",
        "create_time = 2000 and update_time = 3000 and end_time = 9500 and heartbeat_time = 8000",
        "duration = 2.5",
        "creator = 'users/ada'",
        "group = 'sweep' and notes ilike '%AGAIN%' and forked_from like '%/runs/%'",
        "params.lr < 0.1 and params.model like 'resnet%' and params.layers = 50 and params.debug = false",
        "params.size = '[224, 224]' and params.\"a b\" = 'x'",
        "tags.mlflow.runName = 'swift'",
        "summary.best > 0.8",
        'metrics.val/loss = 0.4 and metrics."val/loss".min = 0.2 and metrics."val/loss".max = 0.5',
    ):
        assert await platform.find(text) == [7], text


async def test_empty_attributes_are_missing(platform: Platform) -> None:
    await platform.add(1)
    assert await platform.find("group is null and notes is null and forked_from is null and duration is null") == [1]
    assert await platform.find("end_time is null and heartbeat_time is null") == [1]


async def test_a_search_sees_each_write_before_it(platform: Platform) -> None:
    replica = platform.replica()

    async def both(text: str) -> list[int]:
        found = await platform.find(text)
        assert await platform.find(text, replica) == found
        return found

    assert await both("") == []
    first = await platform.add(1)
    assert await both("") == [1]
    await platform.log_points(first, "loss", [3.0])
    assert await both("metrics.loss = 3") == [1]
    await platform.change(first, params={"lr": 0.1}, tags={"a": "b"})
    assert await both("params.lr = 0.1 and tags.a = 'b' and metrics.loss = 3") == [1]
    await platform.change(first, tags={})
    assert await both("tags.a is null and metrics.loss = 3") == [1]
    await platform.log_points(first, "loss", [2.0])
    assert await both("metrics.loss = 2") == [1]
    second = await platform.add(2)
    await platform.log_points(second, "loss", [2.0])
    await platform.log_points(second, "accuracy", [0.9])
    assert await both("metrics.loss = 2") == [2, 1]
    await platform.documents.delete(RUNS, PROJECT, first.run_id)
    assert await both("metrics.loss = 2") == [2]


async def test_writes_between_searches_are_seen_whoever_searches(platform: Platform) -> None:
    seen = 0
    run = await platform.add(1)

    async def write() -> None:
        nonlocal seen
        for number in range(1, 21):
            await platform.log_points(run, "loss", [float(number)])
            seen = number

    async def search() -> None:
        while seen < 20:
            before = seen
            found = await platform.find(f"metrics.loss >= {before}")
            assert found == [1] or before == 0
            await asyncio.sleep(0)

    await asyncio.gather(write(), search(), search())
    assert await platform.find("metrics.loss = 20") == [1]


async def test_projects_are_apart(platform: Platform) -> None:
    await platform.add(1)
    other = await platform.add(2, project="speech")
    await platform.log_points(other, "loss", [1.0])
    assert await platform.find("") == [1]
    assert await platform.find("metrics.loss = 1") == []
    page = await platform.index.search(RunQuery("speech", "metrics.loss = 1"))
    assert page.run_ids == [other.run_id]


async def test_deleted_runs_are_found_on_demand_only(platform: Platform) -> None:
    run = await platform.add(1)
    await platform.add(2)
    await platform.store.change_run(PROJECT, run.run_id, lambda before: before.deleted(5))
    assert await platform.find() == [2]
    assert await platform.find("lifecycle_stage = 'DELETED'") == []
    assert await platform.find(show_deleted=True) == [2, 1]
    assert await platform.find("lifecycle_stage = 'DELETED'", show_deleted=True) == [1]


async def test_the_name_of_an_experiment_is_the_one_it_has_now(platform: Platform) -> None:
    for number in range(3):
        await platform.add_experiment(str(number), f"sweep-{number}")
    for number in range(6):
        await platform.add(number, experiment_id=str(number % 3))
    assert await platform.find("experiment_name = 'sweep-1'") == [4, 1]
    await platform.rename_experiment("1", "baseline")
    assert await platform.find("experiment_name = 'sweep-1'") == []
    assert await platform.find("experiment_name like 'base%'") == [4, 1]
    moved = await platform.add(9, experiment_id="0")
    assert await platform.find("experiment_name = 'sweep-0'") == [9, 3, 0]
    await platform.change(moved, experiment_id="1")
    assert await platform.find("", order_by="experiment_name, start_time") == [1, 4, 9, 0, 3, 2, 5]


async def test_latest_values_of_a_page_come_from_the_columns(platform: Platform) -> None:
    first, second = await platform.add(1), await platform.add(2)
    await platform.log_points(first, "loss", [3.0, 1.0, 2.0])
    await platform.log_points(second, "accuracy", [0.5])
    page = await platform.index.search(RunQuery(PROJECT, metric_keys=("loss", "accuracy", "none")))
    loss = LatestValue(value=2.0, step=1002, time_us=0, min=1.0, max=3.0, count=3)
    accuracy = LatestValue(value=0.5, step=1000, time_us=0, min=0.5, max=0.5, count=1)
    assert page.latest == {second.run_id: [("accuracy", accuracy)], first.run_id: [("loss", loss)]}


async def test_experiments(platform: Platform) -> None:
    for number in range(4):
        await platform.add(number, experiment_id=str(number % 3))
    assert await platform.find(experiment_ids=("0",)) == [3, 0]
    assert await platform.find("display_name != 'run-0'", experiment_ids=("0", "1")) == [3, 1]


async def test_order_and_pages(platform: Platform) -> None:
    for number in range(7):
        await platform.add(number, params={"group": number % 2})
    assert await platform.find() == [6, 5, 4, 3, 2, 1, 0]
    query = RunQuery(PROJECT, "params.group >= 0", "params.group desc, start_time", page_size=3)
    found: list[int] = []
    token = ""
    for number in range(3):
        page = await platform.index.search(replace(query, page_token=token))
        assert page.total == 7 + number
        found += [int(run_id, 16) for run_id in page.run_ids]
        token = page.next_page_token
        await platform.add(100 + 2 * number, params={"group": 7})  # stands before all that were read
    assert found == [1, 3, 5, 0, 2, 4, 6]
    assert token == ""


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("order", ["", "params.x desc", "params.group, metrics.loss", "tags.a, params.group desc"])
async def test_pages_stay_right_while_runs_come_change_and_go(platform: Platform, seed: int, order: str) -> None:
    chance = random.Random(f"{seed} {order}")
    replicas = [platform.replica(), platform.replica()]

    def cells() -> dict[str, Any]:
        params = {"x": chance.choice([1, 2.5, "2.5", "text", True, float("nan")]), "group": chance.randrange(3)}
        return {
            "params": {key: value for key, value in params.items() if chance.random() < 0.8},
            "tags": {"a": chance.choice("xyz")} if chance.random() < 0.5 else {},
            "start_us": chance.randrange(40),
        }

    runs = {number: await platform.add(number, **cells()) for number in range(60)}
    for run in chance.sample(list(runs.values()), 20):
        await platform.log_points(run, "loss", [chance.random()])
    query = RunQuery(PROJECT, order_by=order, page_size=7)
    expected = await platform.find(order_by=order, page_size=1_000)
    steady = set(chance.sample(list(runs), 30))
    found: list[int] = []
    token = ""
    while True:
        page = await chance.choice(replicas).search(replace(query, page_token=token))
        found += [int(run_id, 16) for run_id in page.run_ids]
        token = page.next_page_token
        if not token:
            break
        assert len(page.run_ids) == 7
        for _ in range(3):
            number = chance.choice(list(runs))
            if number in steady:
                continue
            match chance.randrange(3):
                case 0:
                    await platform.change(runs[number], **cells())
                case 1:
                    await platform.log_points(runs[number], "loss", [chance.random()])
                case _:
                    await platform.documents.delete(RUNS, PROJECT, runs.pop(number).run_id)
        await platform.add(1_000 + len(found), **cells())
    assert [number for number in found if number in steady] == [number for number in expected if number in steady]


async def test_a_token_of_groups_is_none_of_runs(platform: Platform) -> None:
    for number in range(3):
        await platform.add(number, group=f"g{number}")
    groups = await platform.index.group(GroupQuery(PROJECT, ("group",), page_size=1))
    assert groups.next_page_token
    with pytest.raises(PageTokenInvalid):
        await platform.find(page_token=groups.next_page_token)
    page = await platform.index.search(RunQuery(PROJECT, page_size=1))
    for query in (GroupQuery(PROJECT, ("group",)), GroupQuery(PROJECT, ("state",)), GroupQuery("speech", ("group",))):
        with pytest.raises(PageTokenInvalid):
            await platform.index.group(replace(query, page_token=page.next_page_token))


async def test_a_token_of_groups_with_the_longest_texts_fits(platform: Platform) -> None:
    for number in range(2):
        await platform.add(number, params={f"p{key}": "𝄞" * 1_000 + str(number) for key in range(5)}, group=str(number))
    for by in (("params.p0", "group"), ("params.p0", "params.p1", "params.p2", "params.p3", "group")):
        query = GroupQuery(
            PROJECT, by, order_by=", ".join([*by, *(f"min(params.p{key})" for key in range(5))]), page_size=1
        )
        page = await platform.index.group(query)
        assert 0 < len(page.next_page_token) <= 4_096
        rest = await platform.index.group(replace(query, page_token=page.next_page_token))
        assert [group.keys[-1] for group in rest.groups] == [1]


async def test_a_token_of_another_query_is_refused(platform: Platform) -> None:
    for number in range(3):
        await platform.add(number)
    page = await platform.index.search(RunQuery(PROJECT, page_size=1))
    assert page.next_page_token
    for other in (
        RunQuery(PROJECT, "state = 'RUNNING'"),
        RunQuery(PROJECT, order_by="name"),
        RunQuery(PROJECT, show_deleted=True),
        RunQuery(PROJECT, experiment_ids=("0",)),
        RunQuery("speech"),
    ):
        with pytest.raises(PageTokenInvalid):
            await platform.index.search(replace(other, page_token=page.next_page_token))
    # Another size of page is fine.
    assert await platform.find(page_size=2, page_token=page.next_page_token) == [1, 0]
    with pytest.raises(PageTokenInvalid):
        await platform.find(page_token="nonsense")


async def test_a_token_of_the_longest_texts_fits(platform: Platform) -> None:
    for number in range(2):
        await platform.add(number, params={f"p{key}": "𝄞" * 1_000 for key in range(10)})
    order = ", ".join(f"params.p{key}" for key in range(10))
    for order_by in ("params.p0", order):
        page = await platform.index.search(RunQuery(PROJECT, order_by=order_by, page_size=1))
        assert len(page.next_page_token) <= 4_096
        assert await platform.find(order_by=order_by, page_token=page.next_page_token) == [1]


async def test_bad_queries_are_refused(platform: Platform) -> None:
    with pytest.raises(FilterInvalid):
        await platform.find("state = RUNNING")
    with pytest.raises(OrderInvalid):
        await platform.find(order_by="state downwards")


async def test_blank_texts_mean_nothing(platform: Platform) -> None:
    await platform.add(1)
    assert await platform.find("  \n", order_by=" ") == [1]


async def test_projects_that_fall_out_of_memory_are_read_again(platform: Platform) -> None:
    index = platform.replica(bytes_max=1)
    runs = {project: await platform.add(1, project) for project in ("a", "b", "c")}
    for loss in (1.0, 2.0):
        for project, run in runs.items():
            await platform.log_points(run, "loss", [loss])
            page = await index.search(RunQuery(project, f"metrics.loss = {loss}"))
            assert page.run_ids == [run.run_id]


async def test_a_new_index_finds_what_was_there(tmp_path: Path) -> None:
    async with platform_at(tmp_path) as platform:
        for number in range(50):
            run = await platform.add(number)
            await platform.log_points(run, "loss", [float(number)])
    async with platform_at(tmp_path) as platform:
        assert await platform.find("metrics.loss >= 48") == [49, 48]


class Scripted:
    """Latest values that are told in advance: an exception is raised, once."""

    def __init__(self, *answers: Mapping[str, LatestValue] | Exception) -> None:
        self._answers: Iterator[Mapping[str, LatestValue] | Exception] = iter(answers)

    async def latest(self, project: str, run_id: str) -> Mapping[str, LatestValue]:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_latest_values_that_could_not_be_read_are_read_at_the_next_search(platform: Platform) -> None:
    value = LatestValue(1.0, 0, 0, 1.0, 1.0, 1)
    index = platform.replica(latest=Scripted(OSError("disk"), {"loss": value}))
    await platform.add(1)
    with pytest.raises(OSError, match="disk"):
        await platform.find("metrics.loss = 1", index)
    assert await platform.find("metrics.loss = 1", index) == [1]
    assert await platform.find("metrics.loss = 1", index) == [1]  # and once only


async def test_a_run_that_vanishes_meanwhile_does_no_harm(platform: Platform) -> None:
    index = platform.replica(latest=Scripted(RunNotFound("gone")))
    await platform.add(1)
    assert await platform.find("metrics.loss is null", index) == [1]


async def test_a_cancelled_search_leaves_the_index_sound(platform: Platform) -> None:
    for number in range(300):
        await platform.add(number, params={"n": number})
    for delay_s in (0.0, 0.001, 0.003, 0.01, 0.03):
        index = platform.replica()
        search = asyncio.create_task(platform.find("params.n >= 0", index))
        await asyncio.sleep(delay_s)
        search.cancel()
        await asyncio.gather(search, return_exceptions=True)
        assert len(await platform.find("params.n >= 0", index, page_size=1_000)) == 300
