"""The state of a run, and tags."""

from dash import html

from penstock.api.tracking.v1 import run_pb2

__all__ = ["state_badge", "state_name"]


def state_name(state: int) -> str:
    """`RUNNING`, `FINISHED`, ... for the enum's number; `UNKNOWN` for one that this dashboard does not know."""
    try:
        return run_pb2.RunState.Name(state).removeprefix("RUN_STATE_")
    except ValueError:
        return "UNKNOWN"


def state_badge(state: int) -> html.Span:
    """A coloured dot and the word: colour alone says nothing to many."""
    name = state_name(state)
    return html.Span(
        className=f"state state-{name.lower()}",
        children=[html.Span(className="state-dot", **{"aria-hidden": "true"}), name.capitalize()],
    )
