"""Answers searches over models and versions from columns in memory. Owns what is in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from penstock_kit import paging
from penstock_kit.paging import PageTokenInvalid
from penstock_kit.search import (
    ATTRIBUTES,
    And,
    ByteBoundedCache,
    ColumnType,
    Expression,
    Field,
    OrderTerm,
    Position,
    PositionInvalid,
    Presence,
    Schema,
    Table,
    find,
    parse_filter,
    parse_order,
)
from penstock_kit.stores.documents import DocumentStore
from penstock_kit.threads import in_thread
from penstock_registry.bodies import version_id
from penstock_registry.domain import Stage
from penstock_registry.search.fields import MODEL, MODEL_SCHEMA, VERSION_SCHEMA
from penstock_registry.search.project import ProjectModels

__all__ = ["INDEX_BYTES_MAX", "ModelIndex", "Page", "Query"]

INDEX_BYTES_MAX: Final = 100_000_000  # of all projects in memory together; the one searched last may be larger
DEAD_ROWS_MAX: Final = 1_000  # beyond as many as live ones; then the project is read anew

_NUMBER: Final = Field(ATTRIBUTES, "version", ColumnType.NUMBER)
_MODEL_ORDER: Final = (OrderTerm(Field(ATTRIBUTES, "name", ColumnType.VALUE)),)
_VERSION_ORDER: Final = (OrderTerm(MODEL), OrderTerm(_NUMBER, descending=True))
# A version whose model is not known is left from one that was deleted.
_HAS_MODEL: Final = Presence(MODEL, present=True)

T = TypeVar("T")


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


class ModelIndex:
    """Answers searches. Each answer sees every write that was acknowledged before the call.

    Args:
        documents: Where models and versions are.
        bytes_max: Bound of the memory for all projects together.
    """

    def __init__(self, documents: DocumentStore, *, bytes_max: int = INDEX_BYTES_MAX) -> None:
        self._documents = documents
        self._projects: ByteBoundedCache[ProjectModels] = ByteBoundedCache(bytes_max)

    async def models(self, project: str, query: Query) -> Page:
        """Returns a page of models. Raises `FilterInvalid`, `FilterTooCostly`, `OrderInvalid`, `PageTokenInvalid`."""
        search = await in_thread(_read, query, MODEL_SCHEMA, _MODEL_ORDER, None)

        def answer(models: ProjectModels) -> Page:
            found = search(models.models)
            ids = [models.known[uid].model_id for uid in found.ids]
            return Page(ids, ids, found.total, found.next_page_token)

        return await self._ask(project, answer)

    async def versions(self, project: str, query: Query) -> Page:
        """Returns a page of versions. Raises as `models`."""
        search = await in_thread(_read, query, VERSION_SCHEMA, _VERSION_ORDER, _HAS_MODEL)

        def answer(models: ProjectModels) -> Page:
            found = search(models.versions)
            model_ids = [models.known[row_id.partition("/")[0]].model_id for row_id in found.ids]
            return Page(found.ids, model_ids, found.total, found.next_page_token)

        return await self._ask(project, answer)

    async def latest_of_stages(self, project: str, model_ids: Sequence[str], stages: Sequence[Stage]) -> Page:
        """Returns the version with the highest number of each stage of some models, by model and stage."""

        def answer(models: ProjectModels) -> Page:
            found = models.latest_of_stages(model_ids, stages)
            ids = [version_id(models.uids[model_id], number) for model_id, number in found]
            return Page(ids, [model_id for model_id, _ in found], len(found), "")

        return await self._ask(project, answer)

    async def _ask(self, project: str, answer: Callable[[ProjectModels], T]) -> T:
        models = self._projects.get(project)
        if models is None:
            models = ProjectModels(project)
            self._projects.put(project, models)
        async with models.lock:
            await models.catch_up(self._documents)
            result = await in_thread(answer, models)
        if models.versions.row_count > 2 * len(models.versions) + DEAD_ROWS_MAX:
            self._projects.drop(project)
        elif self._projects.get(project) is models:
            self._projects.put(project, models)  # weighed anew
        return result


def _read(
    query: Query, schema: Schema, default_order: Sequence[OrderTerm], always: Expression | None
) -> Callable[[Table], Page]:
    """Reads a query: what answers it from a table. A long filter takes its time."""
    order = parse_order(query.order_by, schema) if query.order_by.strip() else default_order
    clauses = [] if always is None else [always]
    if query.filter.strip():
        clauses.append(parse_filter(query.filter, schema))
    condition = And(tuple(clauses)) if len(clauses) > 1 else clauses[0] if clauses else None
    after = _position(query, len(order)) if query.page_token else None

    def search(table: Table) -> Page:
        found = find(table, condition, order, limit=query.page_size, after=after)
        token = paging.seal(query.fingerprint, found.next.state()) if found.next else ""
        return Page(found.ids, (), found.total, token)

    return search


def _position(query: Query, terms: int) -> Position:
    state: Any = paging.open(query.page_token, query.fingerprint)
    try:
        return Position.from_state(state, terms)
    except PositionInvalid:
        raise PageTokenInvalid("The page token is not one that this server gave out.") from None
