"""The files of a run, and the artifacts that it wrote and used: a tab of the run's page, and a page of their own."""

import asyncio
from urllib.parse import parse_qs

from dash import dcc, html

from penstock.api.artifact.v1 import artifact_pb2
from penstock.client import AsyncClient
from penstock.errors import PenstockError
from penstock_dashboard.components import blocks
from penstock_dashboard.components.files import ITEMS_MAX, PATH_CHARS_MAX, Item, explorer, file_preview
from penstock_dashboard.pages.context import Drawn, Visit
from penstock_dashboard.paths import page_of

__all__ = ["draw", "files_of", "run_title"]

LINKS_MAX = 200


async def draw(client: AsyncClient, visit: Visit) -> Drawn:
    """Draws the page."""
    project = visit.parts["project"]
    name = f"projects/{project}/runs/{visit.parts['run_id']}"
    chosen = parse_qs(visit.search.removeprefix("?")).get("path", [""])[0][:PATH_CHARS_MAX]
    run, body = await asyncio.gather(client.run(name, fields=["display_name"]), files_of(client, name, chosen))
    title = run.display_name or blocks.last(name)[:8]
    content = html.Div(
        className="page page-wide",
        children=[
            blocks.breadcrumb([("Runs", f"/projects/{project}"), (title, page_of(name))], "Files"),
            html.Div(html.H1(f"Files of {title}"), className="page-head"),
            body,
        ],
    )
    return Drawn(f"Files of {title}", content, project)


async def files_of(client: AsyncClient, run: str, chosen: str) -> html.Div:
    """The files of a run, given by its full name, and its artifacts.

    Args:
        client: The visitor's client.
        run: The run.
        chosen: The path of a file, or of a directory with a slash at its end; empty for the uppermost directory.
    """
    directory = chosen.rpartition("/")[0]
    entries, links, shown = await asyncio.gather(
        client.files(run, directory, limit=ITEMS_MAX + 1).to_list(),
        client.artifact_links(run=run, limit=LINKS_MAX).to_list(),
        file_preview(client, run, chosen),
    )
    items = [
        Item(entry.file.path.rpartition("/")[2], entry.file.path, entry.file.blob.size_bytes)
        if entry.HasField("file")
        else Item(entry.directory.rpartition("/")[2], f"{entry.directory}/")
        for entry in entries[:ITEMS_MAX]
    ]
    items.sort(key=lambda item: not item.is_directory)
    more = f"The first {ITEMS_MAX:,} by name." if len(entries) > ITEMS_MAX else ""
    rows = [
        (
            "Wrote" if link.kind == artifact_pb2.ARTIFACT_LINK_KIND_WRITTEN else "Used",
            dcc.Link(f"{link.version.split('/')[3]} / {blocks.last(link.version)}", href=page_of(link.version)),
        )
        for link in links
    ]
    artifacts = blocks.pairs("Artifacts", rows, "The run wrote and used no artifact.", count=len(rows))
    return html.Div(
        [
            explorer(f"{page_of(run)}/files", items, chosen, shown, more=more),
            html.Div(html.Div(artifacts, className="overview-column"), className="overview"),
        ]
    )


async def run_title(client: AsyncClient, name: str) -> str:
    """What a run is called; the beginning of its id if it has no name, or is not to be had."""
    try:
        run = await client.run(name, fields=["display_name"])
    except PenstockError:
        return blocks.last(name)[:8]
    return run.display_name or blocks.last(name)[:8]
