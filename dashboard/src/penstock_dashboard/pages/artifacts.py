"""Artifacts: those of a project, one with its versions, and one version with its files and lineage. They only show."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, unquote

from dash import dcc, html

from penstock.api.artifact.v1 import artifact_pb2
from penstock.api.registry.v1 import model_pb2
from penstock.client import AsyncClient
from penstock.errors import PenstockError
from penstock_dashboard import formatting
from penstock_dashboard.components import blocks
from penstock_dashboard.components.files import ITEMS_MAX, PATH_CHARS_MAX, Item, explorer, file_preview
from penstock_dashboard.components.snippet import copy_button
from penstock_dashboard.pages.context import Drawn, Visit
from penstock_dashboard.pages.run_files import run_title
from penstock_dashboard.paths import page_of

__all__ = ["draw", "draw_artifact", "draw_version"]

ARTIFACTS_MAX = 1_000
VERSIONS_MAX = 200
LINKS_MAX = 50
"""Runs and models of the lineage."""


async def draw(client: AsyncClient, visit: Visit) -> Drawn:
    """Draws the list of artifacts."""
    project = visit.parts["project"]
    artifacts, storage = await asyncio.gather(
        client.artifacts(project, limit=ARTIFACTS_MAX).to_list(), client.artifact_storage(project)
    )
    now_s = time.time()
    rows = [
        [
            dcc.Link(blocks.last(artifact.name), href=page_of(artifact.name)),
            artifact.type,
            _latest(artifact),
            artifact.creator.removeprefix("users/"),
            blocks.when(artifact.update_time, now_s),
        ]
        for artifact in artifacts
    ]
    used = formatting.size(storage.used_bytes)
    stored = f"{used} of {formatting.size(storage.quota_bytes)}" if storage.HasField("quota_bytes") else used
    more = f"The first {ARTIFACTS_MAX:,} by name." if len(rows) == ARTIFACTS_MAX else None
    nothing = f"No artifact is published yet: penstock artifact put NAME PATH -p {project}"
    content = html.Div(
        className="page page-wide",
        children=[
            html.Div(
                [html.H1("Artifacts"), html.Div(className="spacer"), html.Span(f"{stored} stored", className="quiet")],
                className="page-head",
            ),
            blocks.table(["Artifact", "Type", "Latest", "By", "Changed"], rows, nothing),
            html.P(more, className="quiet page-text") if more else None,
        ],
    )
    return Drawn(f"Artifacts · {project}", content, project)


async def draw_artifact(client: AsyncClient, visit: Visit) -> Drawn:
    """Draws one artifact."""
    project, name = visit.parts["project"], _name(visit)
    versions = await client.artifact_versions(name, limit=VERSIONS_MAX).to_list()
    now_s = time.time()
    rows = [
        [
            dcc.Link(blocks.last(version.name), href=page_of(version.name)),
            html.Span(version.description.partition("\n")[0], className="clamp-2"),
            formatting.count(version.file_count, "file"),
            formatting.size(version.size_bytes),
            version.creator.removeprefix("users/"),
            blocks.when(version.create_time, now_s),
        ]
        for version in versions
    ]
    title = blocks.last(name)
    content = html.Div(
        className="page page-wide",
        children=[
            blocks.breadcrumb([("Artifacts", f"/projects/{project}/artifacts")], title),
            html.Div([html.H1(title), *_type(versions)], className="page-head"),
            blocks.section(
                "Versions",
                len(rows),
                blocks.table(
                    ["Version", "What is new", "Files", "Size", "By", "Published"], rows, "Every version was deleted."
                ),
            ),
            html.P(f"The newest {VERSIONS_MAX:,}.", className="quiet") if len(rows) == VERSIONS_MAX else None,
        ],
    )
    return Drawn(title, content, project)


async def draw_version(client: AsyncClient, visit: Visit) -> Drawn:
    """Draws one version."""
    project = visit.parts["project"]
    version = await client.artifact_version(f"{_name(visit)}/versions/{visit.parts['number']}")
    entries, links, models = await asyncio.gather(
        client.artifact_entries(version.name).to_list(),
        client.artifact_links(version=version.name, limit=LINKS_MAX).to_list(),
        _models(client, project, version.name),
    )
    name, _, number = version.name.rpartition("/versions/")
    title = f"{blocks.last(name)} / {number}"
    chosen = parse_qs(visit.search.removeprefix("?")).get("path", [""])[0][:PATH_CHARS_MAX]
    if not chosen and len(entries) == 1 and entries[0].HasField("file"):
        chosen = entries[0].path
    items = _items(entries, chosen.rpartition("/")[0])
    shown = items[:ITEMS_MAX]
    more = f"The first {ITEMS_MAX:,} of {len(items):,}." if len(shown) < len(items) else ""
    content = html.Div(
        className="page page-wide",
        children=[
            blocks.breadcrumb(
                [("Artifacts", f"/projects/{project}/artifacts"), (blocks.last(name), page_of(name))], title
            ),
            html.Div(
                [
                    html.H1(title),
                    *_type([version]),
                    html.Div(className="spacer"),
                    html.Span(
                        [
                            html.Code(version.manifest[:12], className="run-id"),
                            copy_button(version.manifest, "Copy digest"),
                        ],
                        className="id-group",
                        title="The digest of the manifest",
                    ),
                ],
                className="page-head",
            ),
            _facts(version),
            blocks.description(version.description),
            explorer(
                visit.path, shown, chosen, await file_preview(client, version.name, _shown(entries, chosen)), more=more
            ),
            html.Div(
                className="overview",
                children=[
                    html.Div(await _runs(client, links), className="overview-column"),
                    html.Div(_models_panel(models), className="overview-column"),
                ],
            ),
        ],
    )
    return Drawn(title, content, project)


def _shown(entries: Sequence[artifact_pb2.ManifestEntry], chosen: str) -> str:
    """The path of what is shown when a path is chosen: of a directory, what it says about itself."""
    readme = f"{chosen}README.md"
    if (not chosen or chosen.endswith("/")) and any(entry.path == readme for entry in entries):
        return readme
    return chosen


def _items(entries: Sequence[artifact_pb2.ManifestEntry], directory: str) -> list[Item]:
    """What a directory holds: directories first."""
    start = len(directory) + 1 if directory else 0
    directories: dict[str, int] = {}
    files: list[Item] = []
    for entry in entries:
        if directory and not entry.path.startswith(f"{directory}/"):
            continue
        name, slash, _ = entry.path[start:].partition("/")
        if slash:
            directories[name] = directories.get(name, 0) + entry.file.blob.size_bytes
        elif entry.HasField("file"):
            files.append(Item(name, entry.path, entry.file.blob.size_bytes))
        else:
            size_known = entry.reference.size_bytes if entry.reference.HasField("size_bytes") else None
            files.append(Item(name, entry.path, size_known, entry.reference.uri))
    above = [Item(name, f"{_below(directory, name)}/", size or None) for name, size in directories.items()]
    return above + files


def _below(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


async def _models(client: AsyncClient, project: str, version: str) -> list[model_pb2.ModelVersion]:
    """The versions of registered models that name a version of an artifact."""
    quoted = version.replace("\\", "\\\\").replace('"', '\\"')
    try:
        found = client.model_versions(project, filter=f'artifact_version = "{quoted}"', limit=LINKS_MAX)
        return await found.to_list()
    except PenstockError:
        return []  # the files are shown to whom may not see models, or while the registry is away


def _models_panel(models: Sequence[model_pb2.ModelVersion]) -> html.Section:
    rows = [
        (
            dcc.Link(f"{model.name.split('/')[3]} / {model.number}", href=page_of(model.name)),
            ", ".join(model.aliases) or "–",
        )
        for model in models
    ]
    return blocks.pairs("Registered models", rows, "No registered model names this version.", count=len(rows))


async def _runs(client: AsyncClient, links: Sequence[artifact_pb2.ArtifactLink]) -> html.Section:
    titles = await asyncio.gather(*(run_title(client, link.run) for link in links))
    rows = [
        (
            "Written by" if link.kind == artifact_pb2.ARTIFACT_LINK_KIND_WRITTEN else "Used by",
            dcc.Link(title, href=page_of(link.run)),
        )
        for link, title in sorted(zip(links, titles, strict=True), key=lambda pair: pair[0].kind)
    ]
    return blocks.pairs("Runs", rows, "No run wrote or used this version.", count=len(rows))


def _facts(version: artifact_pb2.ArtifactVersion) -> html.Div:
    facts = [
        ("Files", f"{version.file_count:,}", None),
        ("Size", formatting.size(version.size_bytes), f"{version.size_bytes:,} bytes"),
        (
            "Published",
            formatting.relative_time(version.create_time, now_s=time.time()),
            formatting.absolute_time(version.create_time),
        ),
        ("By", version.creator.removeprefix("users/"), None),
    ]
    if version.reference_count:
        facts.insert(1, ("References", f"{version.reference_count:,}", None))
    return html.Div(
        [
            html.Div([html.Span(name, className="fact-name"), html.Span(text, title=tip)], className="fact")
            for name, text, tip in facts
        ],
        className="facts",
    )


def _type(versions: Sequence[artifact_pb2.ArtifactVersion]) -> list[html.Span]:
    return [html.Span(version.type, className="tag") for version in versions[:1]]


def _latest(artifact: artifact_pb2.Artifact) -> Any:
    if not artifact.latest_version:
        return "–"
    number = str(artifact.latest_version)
    return dcc.Link(number, href=page_of(f"{artifact.name}/versions/{number}"))


def _name(visit: Visit) -> str:
    return f"projects/{visit.parts['project']}/artifacts/{unquote(visit.parts['artifact'])}"
