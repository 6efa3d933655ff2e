"""Models, versions, aliases and events as documents. Owns how they are found and written; raises the nouns of `errors`.

Partition = project id, so that a change, its history and its event are written together or not at all. A model is found by
its name; all that belongs to it is kept under its uid, so that a renamed model takes everything along. The aliases are in
the record of the model: a move replaces it by its version, which makes moves linearizable on every store.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from weakref import WeakValueDictionary

from penstock_kit.search.kept import KEPT_COLUMNS
from penstock_kit.stores.documents import (
    OPERATIONS_PER_BATCH_MAX,
    Collection,
    Delete,
    Document,
    DocumentExists,
    DocumentMissing,
    DocumentStore,
    DocumentTooLarge,
    Index,
    Insert,
    Operation,
    Replace,
    UniqueConflict,
    VersionConflict,
)
from penstock_registry import bodies
from penstock_registry.domain import AliasMove, Baseline, Event, Metric, Model, ModelVersion, Stage
from penstock_registry.errors import (
    BaselineNotFound,
    EtagMismatch,
    ModelExists,
    ModelNotFound,
    ModelTooLarge,
    VersionNotFound,
    VersionTooLarge,
)

__all__ = [
    "COLLECTIONS",
    "EVENTS",
    "MODELS",
    "VERSIONS",
    "Change",
    "Operation",
    "RegistryStore",
    "Step",
    "Stored",
    "add_version",
    "delete_details",
    "event_operation",
    "move_operation",
    "replace_version",
]

MODELS: Final = "models"
VERSIONS: Final = "versions"
DETAILS: Final = "details"
MOVES: Final = "moves"
EVENTS: Final = "events"
DELETIONS: Final = "deletions"
WRITE_ATTEMPTS_MAX = 20  # concurrent writers of one model make progress one at a time

COLLECTIONS: Final = (
    # Only what may be created again carries `creation`.
    Collection(MODELS, (Index("creation", ("creation",), unique=True), Index("policy", ("policy_revision",)))),
    Collection(
        VERSIONS,
        (
            Index("model", ("uid",)),
            Index("stage", ("uid", "stage")),
            Index("creation", ("creation",), unique=True),
        ),
    ),
    # Samples and baselines, which are large and seldom read.
    Collection(DETAILS, (Index("model", ("uid",)),)),
    Collection(MOVES, (Index("model", ("uid", "number")), Index("alias", ("uid", "alias", "number")))),
    Collection(EVENTS, (Index("time", ("time_us",)),)),
    Collection(KEPT_COLUMNS),
    # The uids of deleted models whose versions are not all gone yet.
    Collection(DELETIONS),
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """A value as it was read, with the version to replace it by."""

    value: T
    version: int

    @property
    def etag(self) -> str:
        """The version as text for the wire."""
        return str(self.version)


@dataclass(frozen=True, slots=True)
class Step:
    """What a change of a model does: the model as it shall be, and what is written together with it."""

    model: Model
    operations: Sequence[Operation] = ()


Change = Callable[[Model], Awaitable[Step]]


class RegistryStore:
    """Domain nouns over the document store.

    Args:
        documents: A store opened with `COLLECTIONS`.
        others: Further collections with an index `model`, by uid, of what goes when a model is deleted.
    """

    def __init__(self, documents: DocumentStore, others: Sequence[str] = ()) -> None:
        self._documents = documents
        self._of_models = (VERSIONS, DETAILS, MOVES, *others)
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    # Models

    async def model(self, project: str, model_id: str) -> Stored[Model]:
        """Returns a model. Raises `ModelNotFound`."""
        try:
            return _stored_model(await self._documents.get(MODELS, project, model_id))
        except DocumentMissing:
            raise _model_not_found(project, model_id) from None

    async def models(self, project: str, model_ids: Sequence[str]) -> dict[str, Stored[Model]]:
        """Returns those of the models that exist, by id."""
        found = await self._documents.get_many(MODELS, project, model_ids)
        return {model_id: _stored_model(document) for model_id, document in found.items()}

    async def gated_models(self, project: str, limit: int, cursor: bytes | None) -> tuple[list[Model], bytes | None]:
        """Returns models that have a gate policy, those whose policy was changed most often first, and where to go on."""
        page = await self._documents.query(MODELS, project, "policy", descending=True, limit=limit, cursor=cursor)
        models = [_stored_model(document).value for document in page.documents]
        gated = [model for model in models if model.policy_revision]
        # Those without come last.
        return gated, page.cursor if len(gated) == len(models) else None

    async def add_model(self, model: Model, event: Event) -> Stored[Model]:
        """Adds a model. Returns the one that the same create made before, if it did.

        Raises `ModelExists`, `ModelTooLarge`.
        """
        try:
            written = await self._documents.apply(
                model.project, [Insert(MODELS, model.model_id, bodies.model_body(model)), event_operation(event)]
            )
        except (DocumentExists, UniqueConflict):
            made = await self._created(MODELS, model.project, model.creation)
            if made is not None:
                return _stored_model(made)
            raise _model_exists(model.project, model.model_id) from None
        except DocumentTooLarge:
            raise _model_too_large(model) from None
        return _stored_model(_first(written))

    async def change_model(self, project: str, model_id: str, change: Change, *, etag: str = "") -> Stored[Model]:
        """Replaces a model by what `change` makes of it, together with what belongs to that. Repeats it when somebody else is
        quicker.

        Args:
            change: May be called several times. What it reads of the model's versions holds: whoever changes their stage or
                deletes them changes the model too. Returning the same model without operations writes nothing. What it
                raises passes.
            etag: If not empty, the model must still be as it was then: raises `EtagMismatch` otherwise.

        Raises `ModelNotFound`, `ModelTooLarge`.
        """
        async with self._turn(project, model_id):
            for _ in range(WRITE_ATTEMPTS_MAX):
                stored = await self.model(project, model_id)
                if etag and etag != stored.etag:
                    raise EtagMismatch("The model changed since it was read: read it again and decide anew.")
                step = await change(stored.value)
                if step.model is stored.value and not step.operations:
                    return stored
                try:
                    written = await self._documents.apply(
                        project, [_replace_model(stored, step.model), *step.operations]
                    )
                except VersionConflict:
                    continue
                except DocumentMissing as error:
                    if error.collection == MODELS:
                        raise _model_not_found(project, model_id) from None
                    continue
                except DocumentTooLarge as error:
                    raise _too_large(error, step.model) from None
                return _stored_model(_first(written))
        raise _too_many_writers(model_id)

    async def rename_model(self, stored: Stored[Model], renamed: Model, event: Event) -> Stored[Model]:
        """Writes a model under another id. Raises `ModelExists`, `EtagMismatch` if it changed meanwhile, `ModelNotFound`."""
        model = stored.value
        operations: list[Operation] = [
            Delete(MODELS, model.model_id, stored.version),  # first: `creation` is unique
            Insert(MODELS, renamed.model_id, bodies.model_body(renamed)),
            event_operation(event),
        ]
        try:
            written = await self._documents.apply(model.project, operations)
        except DocumentExists:
            raise _model_exists(model.project, renamed.model_id) from None
        except VersionConflict:
            raise EtagMismatch("The model changed since it was read: read it again and decide anew.") from None
        except DocumentMissing:
            raise _model_not_found(model.project, model.model_id) from None
        document = written[1]
        assert document is not None
        return _stored_model(document)

    async def delete_model(self, stored: Stored[Model], event: Event) -> None:
        """Deletes a model: it is gone at once, its versions soon. Raises `EtagMismatch` if it changed meanwhile.

        Raises `ModelNotFound`.
        """
        model = stored.value
        try:
            await self._documents.apply(
                model.project,
                [
                    Delete(MODELS, model.model_id, stored.version),
                    Insert(DELETIONS, model.uid, {}),
                    event_operation(event),
                ],
            )
        except VersionConflict:
            raise EtagMismatch("The model changed since it was read: read it again and decide anew.") from None
        except DocumentMissing:
            raise _model_not_found(model.project, model.model_id) from None
        await self.finish_deletion(model.project, model.uid)

    async def finish_deletion(self, project: str, uid: str) -> None:
        """Deletes what belonged to a deleted model. Safe to repeat, and for several to do at once."""
        for collection in self._of_models:
            while True:
                page = await self._documents.query(
                    collection, project, "model", equal=(uid,), limit=OPERATIONS_PER_BATCH_MAX
                )
                if not page.documents:
                    break
                try:
                    await self._documents.apply(
                        project, [Delete(collection, document.id) for document in page.documents]
                    )
                except DocumentMissing:
                    continue  # somebody else deletes it too
        try:
            await self._documents.delete(DELETIONS, project, uid)
        except DocumentMissing:
            return

    async def deletions(self) -> list[tuple[str, str]]:
        """Returns the deleted models of which something may be left, as (project, uid)."""
        found: list[tuple[str, str]] = []
        for project in await self._documents.partitions(DELETIONS):
            page = await self._documents.query(DELETIONS, project, "id", limit=1_000)
            found.extend((project, document.id) for document in page.documents)
        return found

    # Versions

    async def version(self, model: Model, number: int) -> Stored[ModelVersion]:
        """Returns a version. Raises `VersionNotFound`, also if it was deleted."""
        try:
            stored = _stored_version(
                await self._documents.get(VERSIONS, model.project, bodies.version_id(model.uid, number))
            )
        except DocumentMissing:
            raise _version_not_found(model, number) from None
        if stored.value.deleted:
            raise _version_not_found(model, number)
        return stored

    async def versions(self, project: str, version_ids: Sequence[str]) -> dict[str, Stored[ModelVersion]]:
        """Returns those of the versions that exist, by `bodies.version_id`."""
        found = await self._documents.get_many(VERSIONS, project, version_ids)
        versions = {version_id: _stored_version(document) for version_id, document in found.items()}
        return {version_id: stored for version_id, stored in versions.items() if not stored.value.deleted}

    async def versions_in_stage(self, model: Model, stage: Stage, limit: int) -> list[Stored[ModelVersion]]:
        """Returns the versions of a model in a stage, at most `limit`."""
        page = await self._documents.query(VERSIONS, model.project, "stage", equal=(model.uid, int(stage)), limit=limit)
        return [stored for document in page.documents if not (stored := _stored_version(document)).value.deleted]

    async def latest_version(self, model: Model) -> Stored[ModelVersion] | None:
        """Returns the version with the highest number that was not deleted, None if there is none."""
        cursor: bytes | None = None
        while True:
            page = await self._documents.query(
                VERSIONS, model.project, "model", equal=(model.uid,), descending=True, limit=10, cursor=cursor
            )
            for document in page.documents:
                if not (stored := _stored_version(document)).value.deleted:
                    return stored
            if page.cursor is None:
                return None
            cursor = page.cursor

    async def add_version(self, project: str, model_id: str, creation: str, change: Change) -> Stored[ModelVersion]:
        """Registers a version by a change of its model. Returns the one that the same create made before, if it did.

        Args:
            creation: Identifies the intended create; empty if it may not be repeated.
            change: Makes the model that has the version, and `add_version` of it, as `change_model` wants it.

        Raises what `change_model` raises, and `VersionTooLarge`.
        """
        made = await self._created(VERSIONS, project, creation)
        if made is None:
            try:
                stored = await self.change_model(project, model_id, change)
                return await self.version(stored.value, stored.value.latest_number)
            except UniqueConflict:
                made = await self._created(VERSIONS, project, creation)
                assert made is not None
        return _stored_version(made)

    async def metrics_with_samples(self, version: ModelVersion) -> tuple[Metric, ...]:
        """Returns the metrics of a version with their samples."""
        if not version.has_details:
            return version.metrics
        return bodies.with_samples(version.metrics, (await self._details(version)).body)

    async def baseline(self, version: ModelVersion) -> Baseline:
        """Returns how the training data of a version looked. Raises `BaselineNotFound`."""
        found = bodies.baseline_of((await self._details(version)).body) if version.has_details else None
        if found is None:
            raise BaselineNotFound("The version was registered without a baseline.")
        return found

    async def change_version(
        self,
        model: Model,
        number: int,
        change: Callable[[ModelVersion], ModelVersion],
        event: Callable[[ModelVersion, ModelVersion], Event],
        *,
        etag: str = "",
    ) -> Stored[ModelVersion]:
        """Replaces a version by what `change` makes of it, as `change_model` does a model; `event` tells of both.

        Raises `VersionNotFound`, `VersionTooLarge`, `EtagMismatch`.
        """
        for _ in range(WRITE_ATTEMPTS_MAX):
            stored = await self.version(model, number)
            if etag and etag != stored.etag:
                raise EtagMismatch("The version changed since it was read: read it again and decide anew.")
            changed = change(stored.value)
            if changed is stored.value:
                return stored
            try:
                written = await self._documents.apply(
                    model.project, [replace_version(stored, changed), event_operation(event(stored.value, changed))]
                )
            except VersionConflict:
                continue
            except DocumentMissing:
                raise _version_not_found(model, number) from None
            except DocumentTooLarge as error:
                raise _too_large(error, model) from None
            document = written[0]
            assert document is not None
            return _stored_version(document)
        raise EtagMismatch("The version is being changed by too many callers at once; try again.")

    # History

    async def moves(
        self, model: Model, alias: str, *, limit: int, cursor: bytes | None
    ) -> tuple[list[AliasMove], bytes | None]:
        """Returns moves of aliases, newest first, and where to go on. An empty alias means all."""
        index, equal = ("alias", (model.uid, alias)) if alias else ("model", (model.uid,))
        page = await self._documents.query(
            MOVES, model.project, index, equal=equal, descending=True, limit=limit, cursor=cursor
        )
        return [bodies.move_of(document.body) for document in page.documents], page.cursor

    async def purge_events(self, before_us: int) -> None:
        """Deletes events that happened before a time."""
        for project in await self._documents.partitions(EVENTS):
            while True:
                page = await self._documents.query(EVENTS, project, "time", limit=OPERATIONS_PER_BATCH_MAX)
                old = [document.id for document in page.documents if document.body["time_us"] < before_us]
                if not old:
                    break
                try:
                    await self._documents.apply(project, [Delete(EVENTS, event_id) for event_id in old])
                except DocumentMissing:
                    continue  # another replica is at it

    async def _created(self, collection: str, project: str, creation: str) -> Document | None:
        if not creation:
            return None
        page = await self._documents.query(collection, project, "creation", equal=(creation,), limit=1)
        return page.documents[0] if page.documents else None

    async def _details(self, version: ModelVersion) -> Document:
        return await self._documents.get(DETAILS, version.project, bodies.version_id(version.uid, version.number))

    def _turn(self, project: str, model_id: str) -> asyncio.Lock:
        """Held by whoever changes a model: those who register many versions would else take each other's attempts away."""
        return self._turns.setdefault((project, model_id), asyncio.Lock())


# What is written together with a model.


def event_operation(event: Event) -> Operation:
    """Adds an event."""
    return Insert(EVENTS, event.id, bodies.event_body(event))


def move_operation(model: Model, move: AliasMove) -> Operation:
    """Adds a move to the history of a model, which counts it already."""
    return Insert(MOVES, f"{model.uid}/{model.moves:09d}", bodies.move_body(move, model.uid, model.moves))


def add_version(version: ModelVersion, baseline: Baseline | None) -> list[Operation]:
    """Adds a version with its samples and baseline."""
    version_id = bodies.version_id(version.uid, version.number)
    operations: list[Operation] = [Insert(VERSIONS, version_id, bodies.version_body(version))]
    if version.has_details:
        operations.append(Insert(DETAILS, version_id, bodies.details_body(version, baseline)))
    return operations


def delete_details(version: ModelVersion) -> list[Operation]:
    """Deletes the samples and the baseline of a version."""
    return [Delete(DETAILS, bodies.version_id(version.uid, version.number))] if version.has_details else []


def replace_version(stored: Stored[ModelVersion], changed: ModelVersion) -> Operation:
    """Replaces a version, if it is still as it was read."""
    version_id = bodies.version_id(changed.uid, changed.number)
    return Replace(VERSIONS, version_id, bodies.version_body(changed), stored.version)


def _replace_model(stored: Stored[Model], changed: Model) -> Operation:
    return Replace(MODELS, changed.model_id, bodies.model_body(changed), stored.version)


def _first(written: Sequence[Document | None]) -> Document:
    document = written[0]
    assert document is not None
    return document


def _stored_model(document: Document) -> Stored[Model]:
    return Stored(bodies.model_of(document.partition, document.id, document.body), document.version)


def _stored_version(document: Document) -> Stored[ModelVersion]:
    return Stored(bodies.version_of(document.partition, document.body), document.version)


def _model_not_found(project: str, model_id: str) -> ModelNotFound:
    return ModelNotFound(f"There is no model {model_id!r} in the project {project}.")


def _model_exists(project: str, model_id: str) -> ModelExists:
    return ModelExists(f"The project {project} has a model {model_id!r} already.", model=model_id)


def _version_not_found(model: Model, number: int) -> VersionNotFound:
    return VersionNotFound(f"The model {model.model_id!r} has no version {number}.")


def _model_too_large(model: Model) -> ModelTooLarge:
    return ModelTooLarge(
        f"The record of the model {model.model_id!r} would be too large: its tags are too long together."
    )


def _too_large(error: DocumentTooLarge, model: Model) -> ModelTooLarge | VersionTooLarge:
    if error.collection == MODELS:
        return _model_too_large(model)
    return VersionTooLarge(
        f"The version of {model.model_id!r} would be too large: its tags, signature, flavours, metrics or samples are too "
        "much together."
    )


def _too_many_writers(model_id: str) -> EtagMismatch:
    return EtagMismatch(f"The model {model_id!r} is being changed by too many callers at once; try again.")
