"""Runs as they are imported: ids that never change, and limits."""

import math
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.importers.mlflow.records import INFINITY_IN_DATABASES, MlflowRun, number_of, source_run
from penstock.importers.model import RunDraft, derived_id, time_us
from penstock.spool.values import TypedValue


def test_ids_are_what_they_were() -> None:
    # Written down: with other ids everything that was imported before would be imported again.
    assert derived_id("wandb", "", "vision", "z6uiw0v6") == "3def46e739993d3e7354f8f9173e58b3"
    assert derived_id("a", "bc") != derived_id("ab", "c")


def test_what_exceeds_a_limit_is_left_out_and_told() -> None:
    draft = RunDraft(experiment="e" * 600, start_time_us=-5, display_name="n" * 600, notes="x" * 200_000)
    draft.add_param("long", "x" * 8_001)
    draft.add_param("", 1)
    draft.add_tag("tag", "x" * 8_001)
    for number in range(5_010):
        draft.add_param(f"p{number}", number)
    run = draft.finished("0" * 32, [])
    assert (len(run.params), len(run.tags), len(run.display_name), len(run.experiment)) == (5_000, 0, 500, 500)
    assert (len(run.notes), run.start_time_us) == (100_000, 0)
    told = "\n".join(run.left_out)
    assert "The param 'long' was left out" in told
    assert "The tag 'tag' was left out" in told
    assert told.count("More than 5,000 params") == 1


def test_seconds_become_microseconds() -> None:
    assert time_us(1_700_000_000.123456) == 1_700_000_000_123_456


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", TypedValue("int", 3)),
        ("-0", TypedValue("string", "-0")),
        ("007", TypedValue("string", "007")),
        ("0.1", TypedValue("double", 0.1)),
        ("0.10", TypedValue("string", "0.10")),
        ("1e-05", TypedValue("double", 1e-05)),
        ("1_000", TypedValue("string", "1_000")),
        ("True", TypedValue("bool", True)),
        ("true", TypedValue("string", "true")),
        ("None", TypedValue("string", "None")),
        ("inf", TypedValue("double", math.inf)),
        ("", TypedValue("string", "")),
    ],
)
def test_params_of_mlflow_become_what_python_would_write_as_that_text(text: str, value: TypedValue) -> None:
    run = MlflowRun("a" * 32, "e", "n", "FINISHED", 1, 2, {"p": text}, {})
    assert source_run(run, [], _no_rows).params == {"p": value}


def test_runs_of_mlflow_keep_their_id() -> None:
    def imported(run_id: str) -> Any:
        return source_run(MlflowRun(run_id, "e", "n", "FINISHED", 1, 2, {}, {}), ["m"], _no_rows)

    assert imported("0123456789abcdef" * 2).run_id == "0123456789abcdef" * 2
    assert imported("mine").run_id == derived_id("mlflow", "mine")


def test_numbers_of_databases() -> None:
    assert number_of(INFINITY_IN_DATABASES) == math.inf
    assert number_of(-INFINITY_IN_DATABASES) == -math.inf
    assert math.isnan(number_of(0.0, is_nan=True))
    assert number_of(0.5) == 0.5


def _no_rows(metric: str) -> Iterator[Any]:
    return iter(())
