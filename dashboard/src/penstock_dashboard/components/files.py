"""Files of a version or a run: what a directory holds, and what can be shown of one file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from dash import dcc, html

from penstock.api.artifact.v1 import preview_pb2
from penstock.client import AsyncClient
from penstock.errors import Conflict, NotFound
from penstock_dashboard import formatting
from penstock_dashboard.components.icon import icon

__all__ = ["ITEMS_MAX", "PATH_CHARS_MAX", "Item", "download_path", "explorer", "file_preview", "media"]

ITEMS_MAX = 1_000
"""Files and directories that the list of one directory shows."""
PATH_CHARS_MAX = 1_100
"""Of a path in an address."""
IMAGE_BYTES_MAX = 32_000_000
"""Larger images are not shown: they are downloaded."""


@dataclass(frozen=True, slots=True)
class Item:
    """What a directory holds.

    Attributes:
        name: Its name in the directory.
        path: Its path; that of a directory ends with a slash, and is empty for the uppermost one.
        size: Its bytes; None for a directory, or if it is unknown.
        uri: Where a reference leads; empty for what is stored.
    """

    name: str
    path: str
    size: int | None = None
    uri: str = ""

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.path.endswith("/") or not self.path


def explorer(page: str, items: Sequence[Item], chosen: str, shown: Any, *, more: str = "") -> html.Div:
    """A directory on one side, and what is chosen of it on the other.

    Args:
        page: The path of the page, to which `?path=` is added.
        items: What the directory holds.
        chosen: The path that is chosen: a directory, with a slash at its end or empty, or a file.
        shown: What is shown of it.
        more: Said below the list, if it is not all.
    """
    directory = chosen.rpartition("/")[0]
    rows = [_row(page, item, item.path == chosen) for item in items]
    if directory:
        above = directory.rpartition("/")[0]
        rows.insert(0, _row(page, Item("..", f"{above}/" if above else ""), chosen=False))
    listing: Any = html.Ul(rows, className="file-list") if rows else html.P("No files.", className="quiet file-none")
    return html.Div(
        className="files",
        children=[
            html.Nav(
                [_place(page, directory), listing, html.P(more, className="quiet file-none") if more else None],
                className="card file-side",
                **{"aria-label": "Files"},
            ),
            html.Div(shown, className="file-main"),
        ],
    )


async def file_preview(client: AsyncClient, owner: str, path: str) -> Any:
    """What can be shown of a file, and the way to download it; a hint for a directory, a sentence for what is not there.

    Args:
        client: The visitor's client.
        owner: The name of the version, the run or the logged model that has it.
        path: Its path; that of a directory ends with a slash or is empty.
    """
    if not path or path.endswith("/"):
        return html.P("Choose a file to see what is in it.", className="quiet preview-hint")
    try:
        response = await client.artifact_service.PreviewFile(preview_pb2.PreviewFileRequest(name=owner, path=path))
    except (NotFound, Conflict) as error:  # it is gone, or a reference
        return html.P(error.message, className="quiet preview-hint")
    found = response.preview
    note, body = _content(found, owner, path)
    return html.Section(
        className="card preview",
        children=[
            html.Div(
                className="preview-head",
                children=[
                    html.H2(path.rpartition("/")[2], title=path),
                    html.Span(
                        formatting.size(found.blob.size_bytes),
                        className="quiet",
                        title=f"{found.blob.size_bytes:,} bytes",
                    ),
                    html.Span(note, className="quiet"),
                    html.Div(className="spacer"),
                    html.A(
                        [icon("download", 15), "Download"],
                        href=download_path(owner, path),
                        className="button-quiet",
                        download=path.rpartition("/")[2],
                    ),
                ],
            ),
            body,
        ],
    )


def media(owner: str, path: str, media_type: str, *, label: str) -> Any:
    """An image, a player of sound or of a film. Its bytes come by the download, which serves nothing that could run."""
    source = download_path(owner, path)
    match media_type.partition("/")[0]:
        case "image":
            return html.Img(src=source, alt=label, className="preview-image")
        case "audio":
            return html.Audio(src=source, controls=True, preload="metadata", className="preview-audio", title=label)
        case _:
            return html.Video(src=source, controls=True, preload="metadata", className="preview-video", title=label)


def download_path(owner: str, path: str) -> str:
    """The path under which the dashboard serves a file."""
    return f"/download/{quote(owner)}?{urlencode({'path': path})}"


def _row(page: str, item: Item, chosen: bool) -> html.Li:
    if item.uri:
        name: Any = html.Span(item.name, title=item.uri, className="file-name")
        kind = "link"
    else:
        kind = "folder" if item.is_directory else "file"
        name = dcc.Link(item.name, href=_address(page, item.path), className="file-name")
    size = formatting.size(item.size) if item.size is not None else ""
    return html.Li(
        [icon(kind, 16), name, html.Span(size, className="file-size")],
        className="chosen" if chosen else "",
    )


def _place(page: str, directory: str) -> html.Div:
    """The directories that the shown one lies in, each a link."""
    parts: list[Any] = [dcc.Link("files", href=page)]
    above = ""
    for name in directory.split("/") if directory else ():
        above += f"{name}/"
        parts += [html.Span("/", className="quiet"), dcc.Link(name, href=_address(page, above))]
    return html.Div(parts, className="file-place")


def _address(page: str, path: str) -> str:
    return f"{page}?{urlencode({'path': path})}" if path else page


def _content(found: preview_pb2.FilePreview, owner: str, path: str) -> tuple[str, Any]:
    """A note beside the name, and what is shown."""
    match found.WhichOneof("content"):
        case "text":
            return _text(found.text)
        case "table":
            return _table(found.table)
        case "media":
            if found.blob.size_bytes > IMAGE_BYTES_MAX and found.media.media_type.startswith("image/"):
                return "", html.P("The image is too large to be shown here.", className="quiet preview-none")
            shown = media(owner, path, found.media.media_type, label=path)
            return found.media.media_type, html.Div(shown, className="preview-media")
        case _:
            return "", html.P(found.problem or "There is no preview of this file.", className="quiet preview-none")


def _text(text: preview_pb2.TextPreview) -> tuple[str, Any]:
    note = "the beginning" if text.truncated else ""
    if not text.text:
        return note, html.P("The file is empty.", className="quiet preview-none")
    if text.format == preview_pb2.TEXT_FORMAT_MARKDOWN:
        return note, dcc.Markdown(text.text, className="markdown preview-markdown", link_target="_blank")
    return note, html.Pre(text.text, className="preview-text", tabIndex="0")


def _table(table: preview_pb2.TablePreview) -> tuple[str, Any]:
    columns = f"{len(table.columns):,} of {table.column_count:,} columns"
    if table.column_count == len(table.columns):
        columns = formatting.count(table.column_count, "column")
    shown = formatting.count(len(table.rows), "row")
    if not table.HasField("row_count"):
        rows = f"the first {shown}"
    elif table.row_count > len(table.rows):
        rows = f"{len(table.rows):,} of {table.row_count:,} rows"
    else:
        rows = shown
    heads: list[Any] = [
        html.Th([column.name, html.Span(column.type, className="column-type") if column.type else None], scope="col")
        for column in table.columns
    ]
    body = [
        html.Tr(
            [html.Td(cell.text) if cell.HasField("text") else html.Td("null", className="quiet") for cell in row.cells]
        )
        for row in table.rows
    ]
    grid = html.Table([html.Thead(html.Tr(heads)), html.Tbody(body)], className="plain-table data-table")
    return f"{rows}, {columns}", html.Div(grid, className="scroll-x", tabIndex="0")
