"""Runs of MLflow, from a database, a folder and a server, imported by the command and read back point by point."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.importing import Peer, as_points, imported_files, imported_points, run_import
from support.mlflow_server import running_mlflow
from support.platform import Platform

from penstock.client import Client
from penstock.client.records import run_record

# The server imports MLflow three times before it answers: on a busy machine that is minutes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROWS = 300


@pytest.fixture(scope="module")
def server(peers: Path, writer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A tracking server of MLflow: its address and its database."""
    folder = tmp_path_factory.mktemp("server")
    # Making the tables takes longest.
    writer.ask("prepare", uri=f"sqlite:///{folder}/mlflow.db")
    with running_mlflow(peers, folder) as server:
        yield server.address, folder / "mlflow.db"


@pytest.fixture(params=["database", "folder", "server"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A tracking URI, empty at first."""
    if request.param == "server":
        return request.getfixturevalue("server")[0]
    return f"sqlite:///{tmp_path}/mlflow.db" if request.param == "database" else str(tmp_path / "mlruns")


def test_runs_grow_and_nothing_is_added_twice(
    platform: Platform, client: Client, writer: Peer, store: str, request: pytest.FixtureRequest
) -> None:
    project = f"ml-{request.node.callspec.params['store']}"
    logged = writer.ask("write", uri=store, rows=ROWS)
    parent, child, failed = logged["parent"], logged["child"], logged["failed"]
    done = run_import(platform, "mlflow", store, "-p", project)
    assert done.exit_code == 0, done.error
    assert done.outcomes() == dict.fromkeys((parent, child, failed), "imported")
    for run_id, points in logged["points"].items():
        assert imported_points(client, f"projects/{project}/runs/{run_id}") == as_points(points)

    run = run_record(client.run(f"projects/{project}/runs/{parent}"))
    assert (run["display_name"], run["notes"], run["state"]) == ("parent", "Some *notes*.", "RUNNING")
    assert run["start_time"].timestamp() == 1_700_000_000
    # Numbers where the text is exactly what Python writes for one: a version is none.
    typed = {"lr": 0.01, "layers": 3, "augment": True, "version": "1.10", "model": "a: b\n'c'", "big": "1e400"}
    assert run["params"] == typed
    assert run["tags"] == {
        "colour": "rød\nand more",
        "mlflow.user": "somebody",
        "penstock.import.tool": "mlflow",
        "penstock.import.source": store.removeprefix("sqlite:///"),
    }
    [experiment] = client.experiments(project, display_name="team/vision")
    assert run["experiment"] == experiment.name
    nested = run_record(client.run(f"projects/{project}/runs/{child}"))
    assert (nested["group"], nested["state"]) == (parent, "FINISHED")
    ended = run_record(client.run(f"projects/{project}/runs/{failed}"))
    assert (ended["state"], ended["end_time"].timestamp()) == ("FAILED", 1_700_000_000.06)
    assert ended["experiment"] != experiment.name

    assert imported_files(client, f"projects/{project}/runs/{child}") == logged["files"][child]
    assert imported_files(client, f"projects/{project}/runs/{parent}") == {}
    assert (done.summary["files"], done.summary["files_added"]) == (6, 6)

    again = run_import(platform, "mlflow", store, "-p", project)
    assert again.outcomes() == dict.fromkeys((parent, child, failed), "unchanged")
    assert (again.summary["files"], again.summary["files_added"]) == (6, 0)

    changed = writer.ask("change_files", uri=store, run=child)
    done = run_import(platform, "mlflow", store, "-p", project)
    assert done.outcomes() == {parent: "unchanged", child: "continued", failed: "unchanged"}
    assert done.summary["files_added"] == 2
    assert imported_files(client, f"projects/{project}/runs/{child}") == logged["files"][child] | changed

    more = writer.ask("grow", uri=store, run=parent, rows=ROWS)
    grown = run_import(platform, "mlflow", store, "-p", project)
    assert grown.outcomes() == {parent: "continued", child: "unchanged", failed: "unchanged"}
    assert grown.summary["points_added"] == sum(map(len, more.values()))
    name = f"projects/{project}/runs/{parent}"
    assert imported_points(client, name) == as_points(logged["points"][parent], more)
    run = run_record(client.run(name))
    assert (run["state"], run["end_time"].timestamp()) == ("FINISHED", 1_700_000_090)
    assert (run["params"]["added"], run["tags"]["colour"]) == ("later", "blue")


def test_one_store_read_in_two_ways(platform: Platform, client: Client, writer: Peer, server: tuple[str, Path]) -> None:
    address, database = server
    with sqlite3.connect(database) as connection:
        if connection.execute("SELECT count(*) FROM runs").fetchone() == (0,):
            writer.ask("write", uri=address, rows=10)
    connection.close()
    by_file = run_import(platform, "mlflow", str(database), "-p", "ml-two-ways")
    by_server = run_import(platform, "mlflow", address, "-p", "ml-two-ways")
    assert set(by_file.outcomes()) == set(by_server.outcomes())
    assert by_file.summary["imported"] == by_file.summary["runs"] == 3
    assert by_server.summary["points_added"] == 0


def test_what_cannot_be_read(platform: Platform, client: Client, writer: Peer, tmp_path: Path) -> None:
    folder = tmp_path / "mlruns"
    logged = writer.ask("write", uri=str(folder), rows=5)
    [broken] = folder.glob(f"*/{logged['child']}/meta.yaml")
    broken.write_text("status: [")
    [torn] = folder.glob(f"*/{logged['parent']}/metrics/loss")
    torn.write_text(torn.read_text() + "no point\n")
    done = run_import(platform, "mlflow", str(folder), "-p", "ml-damaged")
    expected = {logged["parent"]: "failed", logged["child"]: "failed", logged["failed"]: "imported"}
    assert (done.exit_code, done.outcomes()) == (1, expected)
    assert "meta.yaml is damaged" in done.runs[logged["child"]]["message"]
    assert "damaged in line 6" in done.runs[logged["parent"]]["message"]
    name = f"projects/ml-damaged/runs/{logged['parent']}"
    assert imported_points(client, name) == as_points(logged["points"][logged["parent"]])
