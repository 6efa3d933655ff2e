"""What the table asks for, checked against the grammar that the server reads."""

from typing import Any

import pytest

from penstock_dashboard import queries
from penstock_dashboard.state import STATES, RunsView
from penstock_kit.search import parse_filter, parse_order
from penstock_tracking.search.fields import RUN_SCHEMA


def test_plain_words_search_the_name() -> None:
    assert queries.filter_text(RunsView(filter=" resnet 50% ")) == "display_name ILIKE '%resnet 50\\%%'"
    assert queries.filter_text(RunsView(filter="it's")) == "display_name ILIKE '%it''s%'"


@pytest.mark.parametrize(
    "typed",
    [
        "state = 'FINISHED'",
        'metrics."val/loss" < 0.5 and params.lr = 0.01',
        "tags.team is not null",
        "display_name like 'a%'",
        "state in ('FAILED')",
        "not state = 'FAILED'",
        "(params.lr > 1)",
    ],
)
def test_filters_are_passed_on_as_typed(typed: str) -> None:
    assert queries.filter_text(RunsView(filter=typed)) == typed
    parse_filter(typed, RUN_SCHEMA)


@pytest.mark.parametrize("typed", ["brisk", "within", "a or b", "is it", "mlp-3", "likely", "50%"])
def test_words_that_look_a_little_like_a_filter(typed: str) -> None:
    assert queries.filter_text(RunsView(filter=typed)).startswith("display_name ILIKE")


def test_choices_are_joined() -> None:
    text = queries.filter_text(RunsView(filter="params.a = 1 or params.b = 2", states=("RUNNING", "FAILED")))
    assert text == "(params.a = 1 or params.b = 2) AND (state IN ('RUNNING', 'FAILED'))"
    parse_filter(text, RUN_SCHEMA)


def test_nothing_chosen_asks_for_everything() -> None:
    assert queries.filter_text(RunsView()) == ""
    assert queries.order_text(RunsView()) == ""


@pytest.mark.parametrize(
    ("column", "model", "clause"),
    [
        ("metrics.val/loss", {"type": "lessThan", "filter": 0.5}, 'metrics."val/loss" < 0.5'),
        ("metrics.a", {"type": "inRange", "filter": 1, "filterTo": 2}, 'metrics."a" >= 1 AND metrics."a" <= 2'),
        ("metrics.a", {"type": "blank"}, 'metrics."a" IS NULL'),
        ("metrics.a", {"type": "notBlank"}, 'metrics."a" IS NOT NULL'),
        ("params.lr", {"type": "equals", "filter": "0.1"}, 'params."lr" = 0.1'),
        ("params.opt", {"type": "equals", "filter": "o'adam"}, "params.\"opt\" = 'o''adam'"),
        ('params.a"b', {"type": "contains", "filter": "x_y"}, 'params."a""b" ILIKE \'%x\\_y%\''),
        ("tags.t", {"type": "notContains", "filter": "x"}, "tags.\"t\" NOT ILIKE '%x%'"),
        ("display_name", {"type": "startsWith", "filter": "mlp"}, "display_name ILIKE 'mlp%'"),
        ("summary.s", {"type": "endsWith", "filter": "z"}, "summary.\"s\" ILIKE '%z'"),
    ],
)
def test_column_filters(column: str, model: dict[str, Any], clause: str) -> None:
    text = queries.filter_text(RunsView(column_filters={column: model}))
    assert text == clause
    parse_filter(text, RUN_SCHEMA)


@pytest.mark.parametrize(
    ("column", "model"),
    [
        ("metrics.a", None),
        ("metrics.a", {"type": "dance", "filter": 1}),
        ("metrics.a", {"type": "equals"}),
        ("metrics.a", {"type": "inRange", "filter": 1, "filterTo": "x) or (1"}),
        ("1=1", {"type": "equals", "filter": "x"}),
    ],
)
def test_column_filters_that_say_nothing(column: str, model: Any) -> None:
    assert queries.filter_text(RunsView(column_filters={column: model})) == ""


def test_orders() -> None:
    view = RunsView(
        sort=(("metrics.val/loss", "asc"), ("start_time", "desc"), ("params.l r", "desc"), ("unknown", "asc"))
    )
    text = queries.order_text(view)
    assert text == 'metrics."val/loss" ASC, start_time DESC, params."l r" DESC'
    parse_order(text, RUN_SCHEMA)


def test_every_attribute_that_can_be_ordered_by_is_one_of_the_server() -> None:
    assert set(RUN_SCHEMA.attributes) >= queries.SORTABLE_ATTRIBUTES
    parse_filter(queries.filter_text(RunsView(states=STATES)), RUN_SCHEMA)


def test_what_is_read_for_a_row() -> None:
    columns = queries.read_columns(("display_name", "duration", "run_id", "metrics.a/b", "params.lr"))
    assert columns == [*queries.ALWAYS_READ, "metrics.a/b", "params.lr"]


def test_heads_of_columns() -> None:
    assert [queries.column_label(c) for c in ("metrics.val/loss", "display_name", "start_time", "duration")] == [
        "val/loss",
        "Run",
        "Started",
        "Duration",
    ]
