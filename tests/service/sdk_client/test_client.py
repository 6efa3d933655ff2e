"""The query client against the real services, over real gRPC."""

import asyncio
import math
import struct
import threading

import pytest
from support.installation import Installation

from penstock.api.tracking.v1 import run_pb2, tracking_service_pb2
from penstock.client import AsyncClient, Client
from penstock.client._sync import paging
from penstock.config import Connection
from penstock.errors import (
    AlreadyExists,
    AuthenticationFailed,
    Conflict,
    InvalidInput,
    NotFound,
    PermissionDenied,
)


def test_who_am_i(server: Installation, project) -> None:
    who = project.client.whoami()
    assert (who.principal, who.owner) == ("users/owner", True)


def test_projects_are_created_and_listed(project) -> None:
    assert f"projects/{project.id}" in [found.name for found in project.client.projects()]
    assert f"projects/{project.id}" in project.client.projects().to_arrow()["name"].to_pylist()
    with pytest.raises(AlreadyExists) as raised:
        project.client.create_project(project.id)
    assert raised.value.reason == "PROJECT_EXISTS"
    with pytest.raises(InvalidInput):
        project.client.create_project("Not A Name")


def test_a_token_is_created_used_listed_and_revoked(server: Installation, project) -> None:
    response = project.client.create_token("ci", projects=[project.id], role="viewer", lifetime_s=3600)
    assert response.secret.startswith("pst_")
    mine = Connection(server.http, server.grpc, response.secret, "tests")
    with Client(mine) as limited:
        assert limited.whoami().token == response.token.name
        assert [found.name for found in limited.projects()] == [f"projects/{project.id}"]
        assert list(limited.runs(project.id)) == []
        with pytest.raises(PermissionDenied):
            limited.tracking.CreateRun(
                tracking_service_pb2.CreateRunRequest(parent=f"projects/{project.id}", run=run_pb2.Run())
            )
        with pytest.raises(PermissionDenied):
            list(limited.runs("default"))
    assert "ci" in [token.title for token in project.client.tokens()]
    project.client.revoke_token(response.token.name)
    with Client(mine) as revoked, pytest.raises(AuthenticationFailed) as raised:
        revoked.whoami()
    assert raised.value.reason == "TOKEN_REVOKED"
    with pytest.raises(NotFound):
        project.client.revoke_token("0" * 32)
    with pytest.raises(InvalidInput):
        project.client.create_token("x", role="king")


def test_a_setup_link_can_be_minted(project) -> None:
    assert project.client.create_setup_link().secret.startswith("psl_")


def test_runs_are_filtered_ordered_and_turned_into_tables(project) -> None:
    for index in range(5):
        name = project.new_run(
            display_name=f"run {index}",
            params=[run_pb2.Param(key="lr", value=run_pb2.Value(double_value=index / 10))],
        )
        project.log(name, "val/loss", [1.0, index / 10])
    found = project.client.runs(
        project.id,
        filter='metrics."val/loss" < 0.35',
        order_by='metrics."val/loss" desc',
        columns=["display_name", "params.lr", 'metrics."val/loss"'],
    )
    assert [run.display_name for run in found] == ["run 3", "run 2", "run 1", "run 0"]
    table = found.to_arrow()
    assert table.column_names == ["name", "display_name", "params.lr", "metrics.val/loss"]
    assert table["metrics.val/loss"].to_pylist() == [0.3, 0.2, 0.1, 0.0]
    assert found.to_pandas()["params.lr"].tolist() == found.to_polars()["params.lr"].to_list() == [0.3, 0.2, 0.1, 0.0]
    with pytest.raises(InvalidInput) as raised:
        list(project.client.runs(project.id, filter="metrics. <"))
    assert raised.value.reason == "FILTER_INVALID"
    with pytest.raises(NotFound):
        list(project.client.runs("nowhere"))


def test_a_list_holds_one_page_at_a_time(project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE_SIZE", 3)
    names = {project.new_run(display_name=str(index)) for index in range(8)}
    found = project.client.runs(project.id, columns=["display_name"])
    assert {run.name for run in found} == names
    assert {run.name for run in found} == names, "each iteration asks anew"
    assert len(list(project.client.runs(project.id, limit=7))) == 7
    assert len(list(project.client.runs(project.id, limit=3))) == 3
    assert list(project.client.runs(project.id, limit=0)) == []


def test_groups_become_a_table(project) -> None:
    for index in range(5):
        lr = run_pb2.Param(key="lr", value=run_pb2.Value(double_value=0.1 if index % 2 else 1))
        name = project.new_run(params=[lr] if index < 4 else [])
        project.log(name, "loss", [float(index)])
    found = project.client.groups(
        project.id, "params.lr", ["max(metrics.loss)", "sum(params.lr)"], order_by="count desc"
    )
    assert found.to_arrow().to_pylist() == [
        {"params.lr": 0.1, "runs": 2, "max(metrics.loss)": 3.0, "sum(params.lr)": 0.2},
        {"params.lr": 1.0, "runs": 2, "max(metrics.loss)": 2.0, "sum(params.lr)": 2.0},
        {"params.lr": None, "runs": 1, "max(metrics.loss)": 4.0, "sum(params.lr)": None},
    ]
    everything = project.client.groups(project.id, aggregates="count(params.lr)", filter="metrics.loss > 0").to_list()
    assert [(group.runs, group.aggregates[0].value) for group in everything] == [(4, 3.0)]
    assert project.client.groups(project.id, "state", limit=0).to_arrow().column_names == ["state", "runs"]


def test_an_empty_list_is_an_empty_table(project) -> None:
    table = project.client.runs(project.id, columns=["display_name", "params"]).to_arrow()
    assert (table.num_rows, table.column_names) == (0, ["name", "display_name"])


def test_experiments_are_listed(project) -> None:
    project.client.tracking.CreateRun(
        tracking_service_pb2.CreateRunRequest(
            parent=f"projects/{project.id}", run=run_pb2.Run(), experiment_display_name="first"
        )
    )
    assert "first" in [found.display_name for found in project.client.experiments(project.id)]


def test_one_run_and_its_metrics(project) -> None:
    name = project.new_run(display_name="a")
    project.log(name, "train/loss", [3.0, 1.0, 2.0])
    project.log(name, "val/loss", [4.0])
    run = project.client.run(name)
    assert run.display_name == "a"
    assert [metric.key for metric in run.latest_metrics] == ["train/loss", "val/loss"]
    assert list(project.client.metric_keys(name, prefix="train/")) == ["train/loss"]
    assert list(project.client.metric_keys([name], pattern="^v.l")) == ["val/loss"]
    (latest,) = project.client.latest(name, keys=["train/loss"])
    assert (latest.value, latest.step, latest.min, latest.max, latest.points) == (2.0, 2, 1.0, 3.0, 3)
    assert project.client.latest(name, prefix="val/").to_arrow()["value"].to_pylist() == [4.0]
    assert project.client.run(name, fields=["state"]).display_name == ""
    with pytest.raises(NotFound) as raised:
        project.client.run(f"projects/{project.id}/runs/{'0' * 32}")
    assert raised.value.reason == "RUN_NOT_FOUND"


def test_series_are_reduced_and_keep_the_spike(project) -> None:
    name = project.new_run()
    values = [0.0] * 2000
    values[777] = 99.0
    project.log(name, "x", values)
    (series,) = project.client.series(name, ["x"], max_points=50)
    assert series.total_points == 2000
    rows = project.client.series(name, ["x"], max_points=50).to_pandas()
    assert rows["max"].max() == 99.0
    assert rows["count"].sum() == 2000
    part = project.client.series(name, ["x"], first_step=770, last_step=780).to_arrow()
    assert part["step"].to_pylist() == list(range(770, 781))


def test_history_is_complete_and_bit_exact(project) -> None:
    name = project.new_run()
    strange = [0.1, math.inf, -math.inf, -0.0, math.nan, 5e-324]
    project.log(name, "strange", strange)
    project.log(name, "long", [float(index) for index in range(70_000)])
    pieces = list(project.client.history(name))
    assert {piece.key for piece in pieces} == {"strange", "long"}
    assert max(len(piece.points.steps) for piece in pieces) <= 65_536
    table = project.client.history(name, keys=["strange"]).to_arrow()
    assert struct.pack("<6d", *table["value"].to_pylist()) == struct.pack("<6d", *strange)
    frame = project.client.history(name, keys=["long"], first_step=10).to_pandas()
    assert frame["value"].tolist() == [float(index) for index in range(10, 70_000)]
    assert project.client.history(name, keys="strange").to_arrow().num_rows == len(strange)
    assert project.client.history(name, keys=["gone"]).to_arrow().num_rows == 0
    assert project.client.history(name, by_rank=True).to_polars().columns == ["key", "rank", "step", "time", "value"]


def test_a_run_is_watched_until_it_is_over(project) -> None:
    name = project.new_run()
    project.log(name, "x", [1.0, 2.0])
    values: list[float] = []
    states: list[int] = []
    seen = threading.Event()

    def watch() -> None:
        with Client(project.client.connection) as client:
            for event in client.watch(name):
                if event.HasField("run"):
                    states.append(event.run.state)
                elif event.HasField("points"):
                    values.extend(event.points.points.values)
                    seen.set()

    thread = threading.Thread(target=watch)
    thread.start()
    assert seen.wait(20)
    project.log(name, "x", [3.0], first_step=2)
    project.finish(name)
    thread.join(20)
    assert not thread.is_alive()
    assert values == [1.0, 2.0, 3.0]
    assert (states[0], states[-1]) == (run_pb2.RUN_STATE_RUNNING, run_pb2.RUN_STATE_FINISHED)


def test_a_watcher_resumes_from_a_cursor(project) -> None:
    name = project.new_run()
    project.log(name, "x", [1.0, 2.0])
    project.finish(name)
    cursors = [event.cursor for event in project.client.watch(name)]
    again = [value for event in project.client.watch(name, cursor=cursors[-1]) for value in event.points.points.values]
    assert again == []
    skipped = [value for event in project.client.watch(name, from_now=True) for value in event.points.points.values]
    assert skipped == []
    with pytest.raises(InvalidInput) as raised:
        list(project.client.watch(name, cursor="nonsense"))
    assert raised.value.reason == "CURSOR_INVALID"


def test_refusals_of_state_are_conflicts(project) -> None:
    name = project.new_run()
    project.client.tracking.DeleteRun(tracking_service_pb2.DeleteRunRequest(name=name))
    with pytest.raises(Conflict) as raised:
        project.log(name, "x", [1.0])
    assert raised.value.reason == "RUN_DELETED"
    assert list(project.client.runs(project.id)) == []
    assert [run.name for run in project.client.runs(project.id, show_deleted=True)] == [name]


async def test_the_asynchronous_client_does_the_same(project) -> None:
    name = await asyncio.to_thread(project.new_run, finished=True, display_name="a")
    await asyncio.to_thread(project.log, name, "x", [1.0, 2.0])
    async with AsyncClient(project.client.connection) as client:
        assert (await client.whoami()).principal == "users/owner"
        found = client.runs(project.id, columns=["display_name"])
        assert [run.display_name async for run in found] == ["a"]
        assert (await found.to_pandas())["display_name"].tolist() == ["a"]
        assert (await client.history(name).to_arrow())["value"].to_pylist() == [1.0, 2.0]
        values = [value async for event in client.watch(name) for value in event.points.points.values]
        assert values == [1.0, 2.0]
        assert [key async for key in client.metric_keys(name)] == ["x"]
        assert (await client.series(name, ["x"]))[0].total_points == 2


def test_a_client_finds_the_server_by_the_environment(home, project) -> None:
    with Client() as client:
        assert client.connection.source == "environment"
        assert client.whoami().principal == "users/owner"
