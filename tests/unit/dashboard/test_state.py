"""The view of the runs table in the URL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_dashboard.state import COLUMNS_MAX, COMPARED_RUNS_MAX, STATES, RunsView, compare_query, compared_runs

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
COLUMN = TEXT.filter(bool)
VIEWS = st.builds(
    RunsView,
    filter=TEXT,
    experiment=st.one_of(st.just(""), st.integers(0, 10**17).map(str)),
    states=st.sets(st.sampled_from(STATES)).map(lambda chosen: tuple(s for s in STATES if s in chosen)),
    sort=st.lists(st.tuples(COLUMN, st.sampled_from(["asc", "desc"])), max_size=10).map(tuple),
    columns=st.one_of(st.none(), st.lists(COLUMN, max_size=20, unique=True).map(tuple)),
    column_filters=st.dictionaries(COLUMN, st.fixed_dictionaries({"type": TEXT, "filter": TEXT}), max_size=3),
)


@given(VIEWS)
def test_a_view_survives_the_url(view: RunsView) -> None:
    assert RunsView.parse(view.query()) == view


def test_the_default_view_has_no_query() -> None:
    assert RunsView().query() == ""
    assert RunsView.parse("") == RunsView.parse(None) == RunsView.parse("?") == RunsView()


@pytest.mark.parametrize(
    "search",
    [
        "?sort=loss",
        "?sort=:asc",
        "?sort=loss:sideways",
        "?state=DANCING",
        "?experiment=-1",
        "?experiment=²",
        "?where={",
        "?where=[1]",
        "?where=7",
        "?%%%&&&===",
    ],
)
def test_nonsense_is_left_out(search: str) -> None:
    assert RunsView.parse(search) == RunsView()


def test_limits_at_their_maximum_and_beyond() -> None:
    many = "?" + "&".join(f"column=c{i}" for i in range(COLUMNS_MAX + 1))
    columns = RunsView.parse(many).columns
    assert columns is not None
    assert len(columns) == COLUMNS_MAX
    ids = [f"{i:032x}" for i in range(COMPARED_RUNS_MAX + 1)]
    assert compared_runs(compare_query(ids[:COMPARED_RUNS_MAX])) == tuple(ids[:COMPARED_RUNS_MAX])
    assert compared_runs("?" + "&".join(f"run={i}" for i in ids)) == tuple(ids[:COMPARED_RUNS_MAX])


def test_only_run_ids_are_compared_each_once() -> None:
    one = "0123456789abcdef" * 2
    assert compared_runs(f"?run={one}&run={one}&run=x&run={one.upper()}&run=../{one[3:]}") == (one,)
