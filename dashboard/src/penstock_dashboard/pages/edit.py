"""Changing a run from its page: name, notes and tags in a dialog, and its deletion, which asks first.

Whoever may not change the run is told so by the server; the dialog shows it. A change that somebody else made meanwhile is
noticed by the etag and never overwritten unseen.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html, no_update, set_props
from google.protobuf.field_mask_pb2 import FieldMask

from penstock.api.tracking.v1 import run_pb2, tracking_service_pb2
from penstock.client import AsyncClient
from penstock.errors import AuthenticationFailed, Conflict, InvalidInput, PenstockError
from penstock_dashboard.components import notices
from penstock_dashboard.components.icon import icon
from penstock_dashboard.pages.context import visitor_client
from penstock_dashboard.session import Sessions

__all__ = ["RESERVED_TAG_PREFIX", "dialogs", "menu", "register", "tags_of", "tags_text"]

RESERVED_TAG_PREFIX = "penstock."
"""Tags that the SDK sets: what it found out about code and machine."""


def menu() -> dmc.Menu:
    """The menu in the head of a run's page."""
    return dmc.Menu(
        position="bottom-end",
        shadow="md",
        width=160,
        children=[
            dmc.MenuTarget(
                dmc.Button("Actions", variant="default", size="compact-sm", rightSection=icon("chevron-down", 14))
            ),
            dmc.MenuDropdown(
                [
                    dmc.MenuItem("Edit…", id="run-menu-edit"),
                    dmc.MenuItem("Delete…", id="run-menu-delete", color="red"),
                ]
            ),
        ],
    )


def dialogs(name: str) -> html.Div:
    """The dialogs behind the menu, closed.

    Args:
        name: The run's name, `projects/{project}/runs/{run}`.
    """
    return html.Div(
        [
            dcc.Store(id="run-edit-base", data={"name": name}),
            dmc.Modal(
                id="run-edit",
                title="Edit run",
                size="lg",
                opened=False,
                children=dmc.Stack(
                    [
                        html.Div(id="run-edit-problem"),
                        dmc.TextInput(id="run-edit-name", label="Name"),
                        dmc.Textarea(
                            id="run-edit-notes",
                            label="Notes",
                            description="Markdown",
                            autosize=True,
                            minRows=4,
                            maxRows=14,
                        ),
                        dmc.Textarea(
                            id="run-edit-tags",
                            label="Tags",
                            description="One per line: key = value",
                            autosize=True,
                            minRows=2,
                            maxRows=10,
                        ),
                        dmc.Group(dmc.Button("Save", id="run-edit-save"), justify="flex-end"),
                    ]
                ),
            ),
            dmc.Modal(
                id="run-delete",
                title="Delete this run?",
                opened=False,
                children=dmc.Stack(
                    [
                        html.Div(id="run-delete-problem"),
                        html.P("It leaves every list, and a process that still logs to it is refused."),
                        dmc.Group(dmc.Button("Delete run", id="run-delete-confirm", color="red"), justify="flex-end"),
                    ]
                ),
            ),
        ]
    )


def tags_text(tags: Sequence[run_pb2.Tag]) -> str:
    """The tags that can be edited, one per line.

    The SDK's own are left out, and those that a line cannot hold; both stay as they are.
    """
    lines = ((tag, f"{tag.key} = {tag.value}") for tag in tags if not tag.key.startswith(RESERVED_TAG_PREFIX))
    return "\n".join(line for tag, line in lines if tags_of(line, strict=False) == {tag.key: tag.value})


def tags_of(text: str, *, strict: bool = True) -> dict[str, str]:
    """Reads what `tags_text` wrote.

    Args:
        text: A tag per line; empty lines mean nothing.
        strict: Whether a line that is no tag is an error, else it is left out.

    Raises:
        InvalidInput: A line has no key or sets one of the SDK's tags.
    """
    tags: dict[str, str] = {}
    for line in filter(str.strip, text.splitlines()):
        key, _, value = (part.strip() for part in line.partition("="))
        if key and not key.startswith(RESERVED_TAG_PREFIX):
            tags[key] = value
        elif strict:
            raise InvalidInput(f"This line is no tag: {line.strip()}")
    return tags


def register(app: Dash, sessions: Sessions) -> None:
    """Adds the callbacks of the menu and its dialogs. What was saved is shown by the page, through `run-tick`."""

    @app.callback(
        Output("run-edit", "opened"),
        Output("run-edit-base", "data"),
        Output("run-edit-name", "value"),
        Output("run-edit-notes", "value"),
        Output("run-edit-tags", "value"),
        Output("run-edit-problem", "children"),
        Input("run-menu-edit", "n_clicks"),
        State("run-edit-base", "data"),
        prevent_initial_call=True,
    )
    async def open_editor(clicks: int | None, base: dict[str, Any]) -> tuple[Any, ...]:
        if not clicks:
            return (no_update,) * 6
        run = await _run(visitor_client(sessions), base["name"])
        return True, _base(run), run.display_name, run.notes, tags_text(run.tags), None

    @app.callback(
        Output("run-edit", "opened", allow_duplicate=True),
        Output("run-edit-base", "data", allow_duplicate=True),
        Output("run-edit-problem", "children", allow_duplicate=True),
        Input("run-edit-save", "n_clicks"),
        State("run-edit-base", "data"),
        State("run-edit-name", "value"),
        State("run-edit-notes", "value"),
        State("run-edit-tags", "value"),
        State("run-tick", "data"),
        prevent_initial_call=True,
    )
    async def save(
        clicks: int | None, base: dict[str, Any], title: str | None, notes: str | None, tags: str | None, tick: int
    ) -> tuple[Any, ...]:
        if not clicks:
            return (no_update,) * 3
        client = visitor_client(sessions)
        try:
            await _save(client, base, title or "", notes or "", tags_of(tags or ""))
        except AuthenticationFailed:
            raise
        except Conflict:
            return no_update, _base(await _run(client, base["name"])), _changed_meanwhile()
        except PenstockError as error:
            return no_update, no_update, notices.notice(error)
        set_props("run-tick", {"data": tick + 1})
        return False, no_update, None

    @app.callback(
        Output("run-delete", "opened"),
        Output("run-delete-problem", "children"),
        Input("run-menu-delete", "n_clicks"),
        prevent_initial_call=True,
    )
    async def ask(clicks: int | None) -> tuple[Any, Any]:
        return (True, None) if clicks else (no_update, no_update)

    @app.callback(
        Output("run-delete-problem", "children", allow_duplicate=True),
        Input("run-delete-confirm", "n_clicks"),
        State("run-edit-base", "data"),
        prevent_initial_call=True,
    )
    async def delete(clicks: int | None, base: dict[str, Any]) -> Any:
        if not clicks:
            return no_update
        try:
            await visitor_client(sessions).tracking.DeleteRun(tracking_service_pb2.DeleteRunRequest(name=base["name"]))
        except AuthenticationFailed:
            raise
        except PenstockError as error:
            return notices.notice(error)
        set_props("leave", {"href": "/" + base["name"].partition("/runs/")[0]})
        return None


async def _run(client: AsyncClient, name: str) -> run_pb2.Run:
    response = await client.tracking.GetRun(tracking_service_pb2.GetRunRequest(name=name))
    return response.run


def _base(run: run_pb2.Run) -> dict[str, Any]:
    """What the visitor's changes are compared with."""
    return {
        "name": run.name,
        "etag": run.etag,
        "title": run.display_name,
        "notes": run.notes,
        "tags": tags_of(tags_text(run.tags)),
    }


async def _save(client: AsyncClient, base: Mapping[str, Any], title: str, notes: str, tags: dict[str, str]) -> None:
    pairs = {"display_name": (base["title"], title), "notes": (base["notes"], notes)}
    changed = [path for path, (before, now) in pairs.items() if before != now]
    if changed:
        await client.tracking.UpdateRun(
            tracking_service_pb2.UpdateRunRequest(
                run=run_pb2.Run(name=base["name"], display_name=title, notes=notes, etag=base["etag"]),
                update_mask=FieldMask(paths=changed),
            )
        )
    new = {key: value for key, value in tags.items() if base["tags"].get(key) != value}
    removed = [key for key in base["tags"] if key not in tags]
    if new or removed:
        await client.tracking.LogBatch(
            tracking_service_pb2.LogBatchRequest(
                run=base["name"],
                tags=[run_pb2.Tag(key=key, value=value) for key, value in new.items()],
                removed_tags=removed,
                # A tag that is set back to what it was is no repeat.
                request_id=uuid.uuid4().hex,
            )
        )


def _changed_meanwhile() -> dmc.Alert:
    return dmc.Alert(
        title="Changed meanwhile",
        children="Somebody changed this run while you were editing. Your text is still here: Save replaces theirs, "
        "closing the dialog keeps it.",
        color="yellow",
        variant="light",
        icon=icon("alert"),
    )
