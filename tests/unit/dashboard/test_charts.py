"""The chart area: which slots a run with many metrics gets, what is said of the rest, and what the server is asked."""

import re

import pytest

from penstock.api.tracking.v1 import metric_pb2, run_pb2
from penstock_dashboard.components import charts


def test_a_section_of_many_metrics_begins_with_a_few() -> None:
    keys = [f"layer/{number}" for number in range(5000)]
    (section,) = charts.sections_of(keys, {})
    assert (section.name, section.total) == ("layer", 5000)
    assert section.keys == tuple(keys[: charts.SLOTS_PER_SECTION])
    (wider,) = charts.sections_of(keys, {"layer": 120})
    assert wider.keys == tuple(keys[:120])


def test_many_sections_share_the_slots() -> None:
    keys = [f"s{section}/{number}" for section in range(300) for number in range(10)]
    sections = charts.sections_of(keys, {})
    assert len(sections) == charts.SECTIONS_MAX
    assert sum(len(section.keys) for section in sections) == charts.SLOTS_MAX
    assert all(section.total == 10 for section in sections)


def test_sections_stand_in_order() -> None:
    keys = ["block10/x", "block2/x", "lonely", "system/cpu", "train/loss", "validation/loss"]
    names = [section.name for section in charts.sections_of(keys, {})]
    assert names == ["train", "validation", "block2", "block10", "general", "system"]


def test_the_server_searches_for_the_longest_word() -> None:
    assert charts.key_pattern("") == ""
    assert charts.key_pattern("  \t") == ""
    assert charts.key_pattern("98 Layer") == "(?i)Layer"
    assert re.search(charts.key_pattern("a.b[0]*"), "x/A.B[0]*")
    assert not re.search(charts.key_pattern("a.b"), "x/aab")


@pytest.mark.parametrize("text", ["x" * 1000, "." * 1000, "é" * 1000])
def test_a_pattern_is_never_longer_than_the_server_takes(text: str) -> None:
    pattern = charts.key_pattern(text)
    assert len(pattern) <= charts.PATTERN_CHARS_MAX
    assert re.search(pattern, text)


def test_every_word_has_to_match() -> None:
    assert charts.matching(["Layer/98", "layer/9", "grad/98"], "98 LAYER") == ["Layer/98"]


def test_how_many_metrics_there_are_is_said_in_words() -> None:
    assert charts.KeyList(("a",) * 10_000, complete=True).total() == "10,000"
    assert charts.KeyList(("a",) * 20_000, complete=False).total() == "more than 20,000"


def test_the_definition_of_a_key_goes_before_that_of_a_prefix() -> None:
    minimize, maximize = run_pb2.METRIC_GOAL_MINIMIZE, run_pb2.METRIC_GOAL_MAXIMIZE
    definitions = [
        run_pb2.MetricDefinition(key="val/*", goal=maximize),
        run_pb2.MetricDefinition(key="val/loss", goal=minimize),
        run_pb2.MetricDefinition(key="*", x_key="epoch"),
    ]
    found = charts.definitions_of(definitions, ["val/loss", "val/acc", "other"])
    assert (found["val/loss"].goal, found["val/acc"].goal) == (minimize, maximize)
    assert (found["other"].x_key, charts.goal_text(found["other"].goal)) == ("epoch", "")
    assert (charts.goal_text(minimize), charts.goal_text(maximize)) == ("Lower is better", "Higher is better")


def test_a_zoom_asks_for_the_whole_steps_around_it() -> None:
    assert charts.step_range(0.4, 9.2) == metric_pb2.StepRange(first=0, last=10)
    assert charts.step_range(-1e30, 1e30) == metric_pb2.StepRange(first=-(2**63), last=2**63 - 1)
