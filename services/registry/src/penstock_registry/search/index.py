"""Answers searches over models and versions from columns in memory, and keeps these for the next start."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from penstock_kit import paging
from penstock_kit.clock import Clock
from penstock_kit.paging import PageTokenInvalid
from penstock_kit.search import (
    ATTRIBUTES,
    And,
    ColumnType,
    Expression,
    Field,
    OrderTerm,
    Position,
    PositionInvalid,
    Presence,
    Schema,
    Table,
    fields_of,
    find,
    parse_filter,
    parse_order,
)
from penstock_kit.search.chunks import ChunkDamaged
from penstock_kit.search.kept import KeptColumns, KeptColumnsLost, KeptProjects, Manifest, WrittenTable
from penstock_kit.stores.blobs import BlobStore
from penstock_kit.stores.documents import DocumentStore
from penstock_kit.threads import in_thread
from penstock_registry.bodies import version_id
from penstock_registry.domain import Stage
from penstock_registry.search.fields import MODEL, MODEL_SCHEMA, VERSION_SCHEMA
from penstock_registry.search.project import MODELS_TABLE, VERSIONS_TABLE, ProjectModels
from penstock_registry.store import MODELS, VERSIONS

__all__ = ["INDEX_BYTES_MAX", "KEEP_AFTER_CHANGES", "ModelIndex", "Page", "Query"]

INDEX_BYTES_MAX: Final = 100_000_000  # of all projects in memory together; the one searched last may be larger
KEEP_AFTER_CHANGES: Final = 500  # fewer are taken over in a moment by whoever reads what is kept

_NUMBER: Final = Field(ATTRIBUTES, "version", ColumnType.NUMBER)
_MODEL_ORDER: Final = (OrderTerm(Field(ATTRIBUTES, "name", ColumnType.VALUE)),)
_VERSION_ORDER: Final = (OrderTerm(MODEL), OrderTerm(_NUMBER, descending=True))
# A version whose model is not known is left from one that was deleted.
_HAS_MODEL: Final = Presence(MODEL, present=True)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for.

    Attributes:
        filter: Which; empty means all.
        order_by: The order; empty means the default one. Ties go by the ids of rows.
        page_size: At most this many, at least 1.
        page_token: From the page before, of an otherwise equal request; empty for the first page.
        fingerprint: Equal for the requests among which a page token is good.
    """

    filter: str
    order_by: str
    page_size: int
    page_token: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Page:
    """What was found.

    Attributes:
        ids: Model ids, or ids of versions as of `bodies.version_id`, in order.
        model_ids: Of versions, what the model of each is called.
        total: How many match, on all pages.
        next_page_token: Empty on the last page.
    """

    ids: Sequence[str]
    model_ids: Sequence[str]
    total: int
    next_page_token: str


@dataclass(frozen=True, slots=True)
class _Question:
    """A query that was read: the fields whose columns its answer needs, and what answers it from a table."""

    fields: frozenset[Field]
    answer: Callable[[Table], Page]


class ModelIndex:
    """Answers searches. Each answer sees every write that was acknowledged before the call.

    Args:
        documents: Where models and versions are, and the manifests of what is kept.
        blobs: Where columns are kept.
        clock: The time.
        bytes_max: Bound of the memory for all projects together.
    """

    def __init__(
        self, documents: DocumentStore, blobs: BlobStore, clock: Clock, *, bytes_max: int = INDEX_BYTES_MAX
    ) -> None:
        self._documents = documents
        self._kept = KeptColumns(documents, blobs, clock)
        self._projects = KeptProjects(self._kept, self._open, bytes_max)

    async def models(self, project: str, query: Query) -> Page:
        """Returns a page of models. Raises `FilterInvalid`, `FilterTooCostly`, `OrderInvalid`, `PageTokenInvalid`."""
        question = await in_thread(_read, query, MODEL_SCHEMA, _MODEL_ORDER, None)

        def answer(models: ProjectModels) -> Page:
            found = question.answer(models.models)
            ids = [models.known[uid].model_id for uid in found.ids]
            return Page(ids, ids, found.total, found.next_page_token)

        return await self._ask(project, answer, MODELS_TABLE, question.fields)

    async def versions(self, project: str, query: Query) -> Page:
        """Returns a page of versions. Raises as `models`."""
        question = await in_thread(_read, query, VERSION_SCHEMA, _VERSION_ORDER, _HAS_MODEL)

        def answer(models: ProjectModels) -> Page:
            found = question.answer(models.versions)
            model_ids = [models.known[row_id.partition("/")[0]].model_id for row_id in found.ids]
            return Page(found.ids, model_ids, found.total, found.next_page_token)

        return await self._ask(project, answer, VERSIONS_TABLE, question.fields)

    async def latest_of_stages(self, project: str, model_ids: Sequence[str], stages: Sequence[Stage]) -> Page:
        """Returns the version with the highest number of each stage of some models, by model and stage."""

        def answer(models: ProjectModels) -> Page:
            found = models.latest_of_stages(model_ids, stages)
            ids = [version_id(models.uids[model_id], number) for model_id, number in found]
            return Page(ids, [model_id for model_id, _ in found], len(found), "")

        return await self._ask(project, answer, MODELS_TABLE, ())

    async def projects(self) -> list[str]:
        """The projects that have models."""
        return await self._documents.partitions(MODELS)

    async def keep(self, project: str) -> bool:
        """Keeps the columns of a project for the next start, if enough changed. Returns whether it did.

        Any replica may do it, several at once as well: the quickest counts, and the others go on from what it kept.
        """
        kept = await self._kept.manifest(project)
        if not await self._much_changed(project, kept):
            return False
        models = self._projects.get(project)
        if models is not None and (kept.version if kept else 0) != (models.manifest.version if models.manifest else 0):
            self._projects.drop(project)

        async def caught_up(models: ProjectModels) -> tuple[ProjectModels, dict[str, int]]:
            await models.catch_up(self._documents)
            return models, models.positions

        if not await self._keep(*await self._projects.use(project, caught_up)):
            return False
        await self._kept.sweep(project)
        return True

    async def _open(self, project: str) -> ProjectModels:
        return await ProjectModels.open(project, self._kept)

    async def _ask(
        self, project: str, answer: Callable[[ProjectModels], Page], table: str, fields: Iterable[Field]
    ) -> Page:
        async def work(models: ProjectModels) -> Page:
            await models.catch_up(self._documents)
            await models.load(self._kept, table, fields)
            return await in_thread(answer, models)

        return await self._projects.use(project, work)

    async def _much_changed(self, project: str, kept: Manifest | None) -> bool:
        for collection, table in ((VERSIONS, VERSIONS_TABLE), (MODELS, MODELS_TABLE)):
            # Revisions count the writes of a project.
            since = (kept.positions[table] if kept else 0) + KEEP_AFTER_CHANGES - 1
            if (await self._documents.changes(collection, project, since=since, limit=1)).changes:
                return True
        return False

    async def _keep(self, models: ProjectModels, positions: dict[str, int]) -> bool:
        async with models.lock:
            if models.keeping:
                return False
            models.keeping = True
            # Later changes may be among them. Who reads them takes them over once more, which changes nothing.
            changed = {name: table.take_changed() for name, table in models.tables.items()}
        try:
            published = await self._write_changed(models, changed, positions)
        except (KeptColumnsLost, ChunkDamaged) as error:
            _log.warning("The kept columns of %s are lost and will be made anew: %s", models.project, error)
            await self._projects.forget(models.project, models.manifest)
            return False
        except BaseException:
            for name, table in models.tables.items():
                table.give_back_changed(changed[name])
            raise
        finally:
            models.keeping = False
        if not published:
            self._projects.drop(models.project)
        return published

    async def _write_changed(
        self, models: ProjectModels, changed: Mapping[str, set[int]], positions: Mapping[str, int]
    ) -> bool:
        """Writes the chunks with changed rows, and the manifest. Returns False if somebody else was quicker."""
        before, project = models.manifest, models.project
        written: dict[str, WrittenTable] = {}
        for name, table in models.tables.items():
            chunks = (before.tables[name], models.chunks[name]) if before else ((), ())
            written[name] = await self._kept.write_table(
                project, table, models.lock, chunks, changed[name], models.notes[name]
            )
        manifest = Manifest(positions, {name: table.kept for name, table in written.items()})
        published = await self._kept.publish(project, manifest, instead_of=before.version if before else 0)
        if published is None:
            return False
        async with models.lock:
            models.manifest = published
            models.chunks = {name: table.chunks for name, table in written.items()}
            for name, table in models.tables.items():
                written[name].settle(table)
        return True


def _read(query: Query, schema: Schema, default_order: Sequence[OrderTerm], always: Expression | None) -> _Question:
    """Reads a query. A long filter takes its time."""
    order = parse_order(query.order_by, schema) if query.order_by.strip() else default_order
    clauses = [] if always is None else [always]
    if query.filter.strip():
        clauses.append(parse_filter(query.filter, schema))
    condition = And(tuple(clauses)) if len(clauses) > 1 else clauses[0] if clauses else None
    after = _position(query, len(order)) if query.page_token else None

    def answer(table: Table) -> Page:
        found = find(table, condition, order, limit=query.page_size, after=after)
        token = paging.seal(query.fingerprint, found.next.state()) if found.next else ""
        return Page(found.ids, (), found.total, token)

    needed = set() if condition is None else fields_of(condition)
    return _Question(frozenset([*needed, *(term.field for term in order)]), answer)


def _position(query: Query, terms: int) -> Position:
    state: Any = paging.open(query.page_token, query.fingerprint)
    try:
        return Position.from_state(state, terms)
    except PositionInvalid:
        raise PageTokenInvalid("The page token is not one that this server gave out.") from None
