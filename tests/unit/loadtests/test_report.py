"""What benchmarks report."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from loadtests import report
from loadtests.__main__ import BENCHMARKS, main
from loadtests.report import Figure


def figure(value: float, **fields: Any) -> Figure:
    return Figure(**{"name": "x", "value": value, "unit": "ms", "goal": 10.0, "better": "lower", **fields})


@pytest.fixture(autouse=True)
def peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])


@pytest.mark.parametrize(
    ("fields", "met"),
    [
        ({"value": 10}, True),
        ({"value": 10.1}, False),
        ({"value": 10, "better": "higher"}, True),
        ({"value": 9.9, "better": "higher"}, False),
        ({"value": 10, "ratio_goal": 2}, True),
        ({"value": 10, "ratio_goal": 1.9}, False),
        ({"value": 10, "ratio_goal": 1.9, "goal": None}, False),
        ({"value": 1e9, "goal": None}, True),
        ({"value": 1, "beside": 0.0, "ratio_goal": 1}, False),
    ],
)
def test_a_figure_is_met_when_its_goals_are(fields: dict[str, Any], met: bool) -> None:
    found = figure(**{"beside_name": "a peer", "beside": 5.0, **fields})
    assert found.met is met
    assert json.loads(json.dumps(found.as_json()))["met"] is met


def test_the_memory_of_a_service_is_its_peak() -> None:
    memory = report.ServiceMemory(os.getpid())
    before = report.peak_bytes(os.getpid())
    held = bytearray(before)  # more than there ever was
    held[:: os.sysconf("SC_PAGE_SIZE")] = b"x" * len(held[:: os.sysconf("SC_PAGE_SIZE")])
    del held
    assert report.peak_bytes(os.getpid()) > before * 1.5
    assert memory.figure("this test").value == pytest.approx(report.peak_bytes(os.getpid()) / 1e6)


@pytest.mark.parametrize(
    ("value", "text"),
    [(15_300_000, "15.3 M"), (480_000, "480 k"), (9_999, "9,999"), (48.24, "48.2"), (0.0514, "0.0514")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert report.number(value) == text


def test_one_benchmark_that_fails_does_not_cost_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from loadtests import log_call, start_up

    def broken() -> list[Figure]:
        raise RuntimeError("no disk")

    monkeypatch.setattr(log_call, "run", broken)
    monkeypatch.setattr(start_up, "run", lambda: [figure(12, beside_name="a peer", beside=5.0)])
    assert main(["log-call", "start_up", "--report", str(tmp_path / "bench.json")]) == 1
    written = json.loads((tmp_path / "bench.json").read_text())
    assert written["failed"] == {"log_call": "RuntimeError: no disk"}
    assert [(found["value"], found["ratio"], found["met"]) for found in written["figures"]] == [(12, 2.4, False)]
    assert written["machine"]["packages"]["penstock"]
    assert "MISSED" in capsys.readouterr().out


def test_an_unknown_benchmark_is_wrong_usage() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["nonsense"])
    assert ended.value.code == 2


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_is_a_module_that_the_readme_explains(name: str) -> None:
    assert "\ndef run() -> list[Figure]:" in Path(f"loadtests/{name}.py").read_text()
    assert f"| `{name}` |" in Path("loadtests/README.md").read_text()
