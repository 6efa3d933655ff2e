"""The load tests, in short: they run, and their objectives can fail them. In a process of their own, as Locust patches it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.platform import Platform, running_platform

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running_platform(tmp_path_factory.mktemp("load")) as running:
        yield running


def locust(platform: Platform, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtests.locust", "--json", *arguments],
        cwd=ROOT,
        env={**platform.env, "PENSTOCK_URL": platform.http, "PENSTOCK_TOKEN": platform.token},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def objectives(path: Path, *wanted: tuple[str, str, float]) -> str:
    path.write_text(json.dumps([dict(zip(("request", "measure", "limit"), item, strict=True)) for item in wanted]))
    return str(path)


def verdicts(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The last word of each line of the table of objectives."""
    words = [line.split() for line in done.stdout.splitlines()]
    return [line[-1] for line in words if line and line[-1] in {"met", "MISSED"}]


@pytest.mark.parametrize(
    "wanted",
    [
        ("batch until durable", "p50_ms", 0.001),
        ("batch until durable", "per_second", 1e9),
        ("what nobody does", "failure_ratio", 1),
    ],
)
def test_an_objective_that_is_missed_fails_the_run(
    platform: Platform, wanted: tuple[str, str, float], tmp_path: Path
) -> None:
    file = objectives(tmp_path / "impossible.json", wanted)
    done = locust(platform, "IngestUser", "--users", "1", "--run-time", "1s", "--objectives", file)
    assert done.returncode == 1, done.stdout + done.stderr
    assert verdicts(done) == ["MISSED"]


def test_both_scenarios_run_and_lose_nothing(platform: Platform, tmp_path: Path) -> None:
    file = objectives(
        tmp_path / "trivial.json",
        ("batch until durable", "failure_ratio", 0),
        ("every point is there once", "failure_ratio", 0),
        ("search", "p99_ms", 1e9),
    )
    done = locust(platform, "--users", "5", "--spawn-rate", "5", "--run-time", "6s", "--objectives", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert verdicts(done) == ["met", "met", "met"]
    counted = {entry["name"]: entry for entry in json.loads(done.stdout[done.stdout.index("\n[") :])}
    assert counted["every point is there once"]["num_requests"] == 4
    assert counted["search"]["num_requests"] >= 1
    assert not [name for name, entry in counted.items() if entry["num_failures"]]
