"""The models and versions of one project in memory, and how they follow what is written.

The feeds of the store skip nothing that was acknowledged, so whoever follows them before an answer sees every acknowledged
write.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from penstock_kit.search import ATTRIBUTES, Table
from penstock_kit.stores.documents import Change, DocumentStore
from penstock_kit.threads import in_thread
from penstock_registry.bodies import model_of, version_id, version_of
from penstock_registry.domain import Model, Stage
from penstock_registry.search.fields import ALIASES, MODEL_SCHEMA, VERSION_SCHEMA, model_cells, version_cells
from penstock_registry.store import MODELS, VERSIONS

__all__ = ["ProjectModels"]

CHANGES_PER_READ: Final = 5_000
MODEL_BYTES: Final = 600  # estimate: what is known of a model beside the tables


@dataclass(slots=True)
class ProjectModels:
    """The models of a project as of `models_revision`, and their versions as of `versions_revision`.

    Attributes:
        models: Rows by uid: names change.
        versions: Rows by `bodies.version_id`.
        known: The models by uid.
        uids: By model id.
        stages: By uid and number, the stages of the versions that have rows.
        lock: Held by the one who reads or writes the rest.
    """

    project: str
    models: Table = field(default_factory=lambda: Table(MODEL_SCHEMA))
    versions: Table = field(default_factory=lambda: Table(VERSION_SCHEMA))
    models_revision: int = 0
    versions_revision: int = 0
    known: dict[str, Model] = field(default_factory=dict)
    uids: dict[str, str] = field(default_factory=dict)
    stages: defaultdict[str, dict[int, Stage]] = field(default_factory=lambda: defaultdict(dict))
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def nbytes(self) -> int:
        """Bytes of memory, estimated."""
        return self.models.nbytes + self.versions.nbytes + MODEL_BYTES * len(self.known) + 100 * len(self.versions)

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
                if uid and self.known[uid].model_id == change.id:
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
                self._put_aliases(model, version.number)
        return gone

    def _take_model(self, model: Model) -> None:
        before = self.known.get(model.uid)
        replaced = self.uids.get(model.model_id)
        if replaced is not None and replaced != model.uid:
            # Deleted and created anew under the same name between two looks.
            self.known.pop(replaced, None)
            self.models.remove(replaced)
            for number in self.stages.pop(replaced, ()):
                self.versions.remove(version_id(replaced, number))
        self.known[model.uid] = model
        self.uids[model.model_id] = model.uid
        for collection, cells in model_cells(model).items():
            self.models.put(model.uid, collection, cells)
        numbers = self.stages[model.uid].keys()
        if numbers and (before is None or before.model_id != model.model_id):
            rows = self.versions.rows_of([version_id(model.uid, number) for number in numbers])
            self.versions.write(rows.tolist(), ATTRIBUTES, "model", model.model_id)
        targets = {target.number for target in model.aliases.values()}
        if before is not None:
            targets |= {target.number for target in before.aliases.values()}
        for number in targets & numbers:
            self._put_aliases(model, number)

    def _put_aliases(self, model: Model, number: int) -> None:
        self.versions.put(version_id(model.uid, number), ALIASES, dict.fromkeys(model.aliases_of(number), True))
