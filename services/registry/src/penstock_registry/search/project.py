"""The models and versions of one project in memory, and how they follow what is written.

The feeds of the store skip nothing that was acknowledged, so whoever follows them before an answer sees every acknowledged
write.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgpack

from penstock_kit.search import ATTRIBUTES, Field, Table
from penstock_kit.search.chunks import Chunk, ChunkRows, load_rows
from penstock_kit.search.kept import KeptColumns, Manifest
from penstock_kit.stores.documents import Change, DocumentStore
from penstock_kit.threads import in_thread
from penstock_registry.bodies import model_of, version_id, version_of
from penstock_registry.domain import Model, Stage
from penstock_registry.search.fields import ALIASES, MODEL_SCHEMA, VERSION_SCHEMA, model_cells, version_cells
from penstock_registry.store import MODELS, VERSIONS

__all__ = ["MODELS_TABLE", "VERSIONS_TABLE", "ProjectModels"]

CHANGES_PER_READ: Final = 5_000
DEAD_ROWS_MAX: Final = 1_000  # beyond as many as live ones; then the project is read anew
MODEL_BYTES: Final = 600  # estimate: what is known of a model beside the tables


# In the manifest of what is kept.
MODELS_TABLE: Final = "models"
VERSIONS_TABLE: Final = "versions"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a model beside the tables.

    Attributes:
        model_id: What it is called.
        aliases: The numbers by alias. None of one that was read from what is kept: the rows of its versions are right then,
            or a change that is yet to be taken over makes them so.
    """

    model_id: str
    aliases: Mapping[str, int] | None


@dataclass(slots=True)
class ProjectModels:
    """The models of a project as of `models_revision`, and their versions as of `versions_revision`.

    Attributes:
        models: Rows by uid: names change.
        versions: Rows by `bodies.version_id`.
        known: The models by uid.
        uids: By model id.
        stages: By uid and number, the stages of the versions that have rows.
        manifest: What is kept of it, None if nothing is.
        chunks: By table, where the columns are in what is kept.
        lock: Held by the one who reads or writes the rest.
        keeping: Whether somebody is writing chunks.
    """

    project: str
    models: Table = field(default_factory=lambda: Table(MODEL_SCHEMA))
    versions: Table = field(default_factory=lambda: Table(VERSION_SCHEMA))
    models_revision: int = 0
    versions_revision: int = 0
    known: dict[str, Known] = field(default_factory=dict)
    uids: dict[str, str] = field(default_factory=dict)
    stages: defaultdict[str, dict[int, Stage]] = field(default_factory=lambda: defaultdict(dict))
    manifest: Manifest | None = None
    chunks: dict[str, Sequence[Chunk]] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    keeping: bool = False

    @classmethod
    async def open(cls, project: str, kept: KeptColumns) -> "ProjectModels":
        """The models as they are kept; none, to be read from the beginning, where nothing is. Raises `KeptColumnsLost`."""
        manifest = await kept.manifest(project)
        if manifest is None:
            return cls(project)
        read = {name: await kept.chunks(chunks) for name, chunks in manifest.tables.items()}
        models = cls(project, manifest=manifest)
        models.models_revision = manifest.positions[MODELS_TABLE]
        models.versions_revision = manifest.positions[VERSIONS_TABLE]
        models.chunks = {name: [chunk for chunk, _ in chunks] for name, chunks in read.items()}
        await in_thread(models._take_kept, read[MODELS_TABLE], read[VERSIONS_TABLE])
        return models

    @property
    def tables(self) -> dict[str, Table]:
        """Both tables, by their names in the manifest."""
        return {MODELS_TABLE: self.models, VERSIONS_TABLE: self.versions}

    @property
    def notes(self) -> dict[str, Callable[[int, int], bytes]]:
        """By table, what is noted in a chunk of it: the names of models, the stages of versions."""
        return {MODELS_TABLE: self._note_models, VERSIONS_TABLE: self._note_versions}

    @property
    def positions(self) -> dict[str, int]:
        """How far it is in each feed."""
        return {MODELS_TABLE: self.models_revision, VERSIONS_TABLE: self.versions_revision}

    @property
    def nbytes(self) -> int:
        """Bytes of memory, estimated."""
        chunks = sum(chunk.nbytes for chunks in self.chunks.values() for chunk in chunks)
        own = MODEL_BYTES * len(self.known) + 100 * len(self.versions)
        return self.models.nbytes + self.versions.nbytes + own + chunks

    @property
    def worn(self) -> bool:
        """Whether so many rows are dead that it is better read anew."""
        return self.versions.row_count > 2 * len(self.versions) + DEAD_ROWS_MAX

    async def load(self, kept: KeptColumns, name: str, fields: Iterable[Field]) -> None:
        """Makes the columns of fields of a table ready to be read. Raises `KeptColumnsLost`."""
        columns = self.tables[name].columns
        wanted = {(wanted.collection, wanted.key) for wanted in fields}
        missing = [key for key in wanted if key in columns and not columns[key].loaded]
        if missing and self.manifest is not None:
            pieces = await kept.pieces(self.manifest.tables[name], self.chunks[name], missing)
            await in_thread(lambda: [columns[key].load(pieces.get(key, [])) for key in missing])

    async def catch_up(self, documents: DocumentStore) -> None:
        """Takes over everything that was acknowledged before the call."""
        more = True
        gone: set[str] = set()
        while more:
            # Versions are read first: the models of what is read then are there, or come with the next step.
            versions = await documents.changes(
                VERSIONS, self.project, since=self.versions_revision, limit=CHANGES_PER_READ
            )
            models = await documents.changes(MODELS, self.project, since=self.models_revision, limit=CHANGES_PER_READ)
            if versions.changes or models.changes:
                gone |= await in_thread(self._take, models.changes, versions.changes)
            self.versions_revision, self.models_revision = versions.revision, models.revision
            more = versions.more or models.more
        # Only now: of a model that was renamed, the end of one name may be read before the begin of the other.
        for uid in gone - self.known.keys():
            self.models.remove(uid)
            for number in self.stages.pop(uid, ()):
                self.versions.remove(version_id(uid, number))

    def latest_of_stages(self, model_ids: Iterable[str], stages: Collection[Stage]) -> list[tuple[str, int]]:
        """The version with the highest number of each of some stages of some models: model ids and numbers."""
        found: list[tuple[str, int]] = []
        for model_id in sorted(set(model_ids) & self.uids.keys()):
            highest: dict[Stage, int] = {}
            for number, stage in self.stages[self.uids[model_id]].items():
                highest[stage] = max(number, highest.get(stage, 0))
            found.extend((model_id, highest[stage]) for stage in sorted(highest.keys() & set(stages)))
        return found

    def _take(self, models: Sequence[Change], versions: Sequence[Change]) -> set[str]:
        """Takes over changes. Returns the uids of models that lost their names."""
        gone: set[str] = set()
        for change in models:
            if change.document is None:
                uid = self.uids.pop(change.id, "")
                if self._is_called(uid, change.id):
                    del self.known[uid]
                    gone.add(uid)
                continue
            self._take_model(model_of(self.project, change.id, change.document.body))
        for change in versions:
            uid, _, number = change.id.rpartition("/")
            if change.document is None or change.document.body["deleted"]:
                self.versions.remove(change.id)
                self.stages[uid].pop(int(number), None)
                continue
            version = version_of(self.project, change.document.body)
            model = self.known.get(uid)
            for collection, cells in version_cells(version, model.model_id if model else "").items():
                self.versions.put(change.id, collection, cells)
            self.stages[uid][version.number] = version.stage
            if model is not None:
                self._put_aliases(uid, model, version.number)
        return gone

    def _take_kept(
        self, models: Sequence[tuple[Chunk, ChunkRows]], versions: Sequence[tuple[Chunk, ChunkRows]]
    ) -> None:
        load_rows(self.models, models)
        for _, rows in models:
            for uid, model_id in zip(rows.ids, msgpack.unpackb(rows.note), strict=True):
                if model_id:
                    self.known[uid] = Known(model_id, None)
                    self.uids[model_id] = uid
        load_rows(self.versions, versions)
        for _, rows in versions:
            for row_id, stage, live in zip(rows.ids, rows.note, rows.live.tolist(), strict=True):
                if live and stage:
                    uid, _, number = row_id.rpartition("/")
                    self.stages[uid][int(number)] = Stage(stage)
        # Their model was deleted between the two; or it is new, and they come once more with the changes since.
        for uid in self.stages.keys() - self.known.keys():
            for number in self.stages.pop(uid):
                self.versions.remove(version_id(uid, number))

    def _note_models(self, first: int, end: int) -> bytes:
        names = [self.known[uid].model_id if uid in self.known else "" for uid in self.models.ids(first, end)]
        packed: Any = msgpack.packb(names)
        return packed

    def _note_versions(self, first: int, end: int) -> bytes:
        stages: list[int] = []
        for row_id in self.versions.ids(first, end):
            uid, _, number = row_id.rpartition("/")
            stages.append(self.stages[uid].get(int(number), 0) if uid in self.stages else 0)
        return bytes(stages)

    def _take_model(self, model: Model) -> None:
        before = self.known.get(model.uid)
        replaced = self.uids.get(model.model_id)
        if replaced is not None and replaced != model.uid and self._is_called(replaced, model.model_id):
            # Deleted and created anew under the same name between two looks.
            self.known.pop(replaced, None)
            self.models.remove(replaced)
            for number in self.stages.pop(replaced, ()):
                self.versions.remove(version_id(replaced, number))
        known = self.known[model.uid] = Known(
            model.model_id, {alias: target.number for alias, target in model.aliases.items()}
        )
        self.uids[model.model_id] = model.uid
        for collection, cells in model_cells(model).items():
            self.models.put(model.uid, collection, cells)
        numbers = self.stages[model.uid].keys()
        former = before.aliases if before is not None else None
        if numbers and (before is None or former is None or before.model_id != model.model_id):
            rows = self.versions.rows_of([version_id(model.uid, number) for number in numbers])
            self.versions.write(rows.tolist(), ATTRIBUTES, "model", model.model_id)
        pointed = {target.number for target in model.aliases.values()}
        targets = numbers if former is None else numbers & (pointed | set(former.values()))
        for number in list(targets):
            self._put_aliases(model.uid, known, number)

    def _is_called(self, uid: str, model_id: str) -> bool:
        known = self.known.get(uid)
        return known is not None and known.model_id == model_id

    def _put_aliases(self, uid: str, known: Known, number: int) -> None:
        if known.aliases is not None:
            aliases = sorted(alias for alias, target in known.aliases.items() if target == number)
            self.versions.put(version_id(uid, number), ALIASES, dict.fromkeys(aliases, True))
