"""What pages that only show are built of: tables, sections, pairs of name and content, times, badges."""

from collections.abc import Sequence
from typing import Any

from dash import dcc, html

from penstock_dashboard import formatting
from penstock_dashboard.components.icon import icon

__all__ = ["badge", "breadcrumb", "description", "last", "pairs", "section", "table", "when"]


def breadcrumb(above: Sequence[tuple[str, str]], title: str) -> html.Nav:
    """The way to a page: titles and paths of those above it, and its own title."""
    parts: list[Any] = []
    for name, path in above:
        parts += [dcc.Link(name, href=path), icon("chevron-right", 14)]
    return html.Nav([*parts, html.Span(title)], className="breadcrumb", **{"aria-label": "Breadcrumb"})


def description(text: str) -> Any:
    """Markdown; nothing if it is empty."""
    return dcc.Markdown(text, className="markdown page-text", link_target="_blank") if text else None


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]], nothing: str, *, kind: str = "") -> Any:
    """A table in a card.

    Args:
        heads: The names of the columns.
        rows: A cell for each column.
        nothing: What is said if there are no rows.
        kind: Another class of the table.
    """
    if not rows:
        return html.P(nothing, className="quiet")
    return html.Div(
        html.Table(
            [
                html.Thead(html.Tr([html.Th(head, scope="col") for head in heads])),
                html.Tbody([html.Tr([html.Td(cell) for cell in row]) for row in rows]),
            ],
            className=f"plain-table {kind}".strip(),
        ),
        className="card table-card",
    )


def section(title: str, count: int, body: Any) -> html.Section:
    """A titled part of a page; a count of 0 is not shown."""
    return html.Section([html.H2([title, _count(count)]), body], className="plain-section")


def pairs(
    title: str, rows: Sequence[tuple[Any, Any]], nothing: str, *, count: int = 0, code: bool = False
) -> html.Section:
    """A card of names and what belongs to them.

    Args:
        title: The title.
        rows: Names and contents.
        nothing: What is said if there are none.
        count: Shown beside the title if it is not 0.
        code: Whether the contents are values of a machine, which are written in letters of one width.
    """
    body: Any = html.P(nothing, className="quiet")
    if rows:
        lines = [html.Tr([html.Th(key, scope="row"), html.Td(content)]) for key, content in rows]
        body = html.Table(html.Tbody(lines), className="key-values" if code else "key-values prose")
    return html.Section([html.H2([title, _count(count)]), body], className="card panel")


def badge(word: str, state: str) -> html.Span:
    """A coloured dot and the word: colour alone says nothing to many."""
    return html.Span(
        [html.Span(className="state-dot", **{"aria-hidden": "true"}), word.capitalize()], className=f"state {state}"
    )


def when(time: Any, now_s: float) -> html.Span:
    """How long ago something was; the time itself on hovering."""
    return html.Span(
        formatting.relative_time(time, now_s=now_s), title=formatting.absolute_time(time), className="nowrap"
    )


def last(name: str) -> str:
    """The last segment of a resource's name."""
    return name.rpartition("/")[2]


def _count(count: int) -> html.Span | None:
    return html.Span(f"{count:,}", className="section-count") if count else None
