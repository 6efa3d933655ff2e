"""The use cases of the registry: what may happen to models, versions and aliases. Knows nothing of gRPC or of documents.

Each change is one atomic write: the record, its history and the event that tells of it.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from penstock_kit.calling import NeighbourUnavailable
from penstock_kit.clock import Clock
from penstock_kit.errors import PenstockError
from penstock_kit.ids import derived_id, random_id
from penstock_kit.names import ModelAliasName, ModelName, ModelVersionName, ProjectName
from penstock_registry.artifacts import PENDING_S, Artifacts
from penstock_registry.bodies import version_id
from penstock_registry.changes import check_alias, check_expected, moved_alias, new_event
from penstock_registry.domain import (
    LATEST,
    TAGS_MAX,
    VERSIONS_PER_MODEL_MAX,
    AliasMove,
    AliasTarget,
    Baseline,
    Event,
    EventType,
    Model,
    ModelVersion,
    Stage,
    baseline_problem,
    is_prompt,
    retagged,
    tags_told,
    version_problem,
)
from penstock_registry.errors import (
    AliasNotFound,
    AliasProtected,
    FieldInvalid,
    TooManyTags,
    TooManyVersions,
    VersionHasAliases,
    VersionLimitReached,
    VersionNotFound,
)
from penstock_registry.store import (
    Operation,
    RegistryStore,
    Step,
    Stored,
    add_version,
    delete_details,
    event_operation,
    replace_version,
)

__all__ = ["STAGE_CHANGES_MAX", "RegistryService"]

READ_ATTEMPTS_MAX: Final = 5

STAGE_CHANGES_MAX: Final = 400
"""How many versions one call may archive: they are written in one step."""


class RegistryService:
    """Models, versions and aliases.

    Args:
        store: The records.
        clock: The time.
        artifacts: The artifact service, which keeps what versions name; None where there is none.
    """

    def __init__(self, store: RegistryStore, clock: Clock, artifacts: Artifacts | None = None) -> None:
        self._store = store
        self._artifacts = artifacts
        self._clock = clock

    # Models

    async def create_model(
        self, name: ModelName, *, description: str, tags: dict[str, str], request_id: str, by: str
    ) -> Stored[Model]:
        """Creates a model; a repeat returns the one made first. Raises `ModelExists`, `ModelTooLarge`."""
        now_us = self._clock.now_us()
        model = Model(
            project=name.project,
            model_id=name.model_id,
            uid=random_id(),
            description=description,
            tags=tags,
            creator=by,
            create_us=now_us,
            update_us=now_us,
            creation=derived_id(by, request_id, f"model {name.project}") if request_id else "",
        )
        event = self._event(EventType.MODEL_CREATED, model, by, description=description, **tags_told(tags))
        return await self._store.add_model(model, event)

    async def get_model(self, name: ModelName) -> Stored[Model]:
        """Returns a model. Raises `ModelNotFound`."""
        return await self._store.model(name.project, name.model_id)

    async def get_models(self, project: ProjectName, model_ids: Sequence[str]) -> dict[str, Stored[Model]]:
        """Returns those of the models that exist, by id."""
        return await self._store.models(project.project, model_ids)

    async def update_model(
        self, name: ModelName, change: Callable[[Model], Model], *, etag: str, by: str
    ) -> Stored[Model]:
        """Changes description or tags. Raises `ModelNotFound`, `EtagMismatch`, `TooManyTags`, `ModelTooLarge`."""
        return await self._change_model(name, change, _tag_changes, etag=etag, by=by)

    async def update_model_tags(
        self, name: ModelName, put: dict[str, str], remove: Sequence[str], *, by: str
    ) -> Stored[Model]:
        """Sets and removes tags. Raises `ModelNotFound`, `TooManyTags`, `ModelTooLarge`."""
        return await self._change_model(
            name,
            lambda model: replace(model, tags=retagged(model.tags, put, remove)),
            lambda before, _after: tags_told(put, [key for key in remove if key in before.tags and key not in put]),
            etag="",
            by=by,
        )

    async def rename_model(self, name: ModelName, model_id: str, *, by: str) -> Stored[Model]:
        """Gives a model another name. Raises `ModelNotFound`, `ModelExists`, `EtagMismatch`."""
        stored = await self._store.model(name.project, name.model_id)
        if model_id == name.model_id:
            return stored
        renamed = replace(stored.value, model_id=model_id, update_us=self._clock.now_us())
        event = self._event(EventType.MODEL_RENAMED, renamed, by, former_model_id=name.model_id)
        return await self._store.rename_model(stored, renamed, event)

    async def delete_model(self, name: ModelName, *, by: str) -> None:
        """Deletes a model with all that belongs to it. Raises `ModelNotFound`, `AliasProtected`, `EtagMismatch`."""
        stored = await self._store.model(name.project, name.model_id)
        for alias in stored.value.aliases:
            _check_unprotected(stored.value, alias)
        await self._store.delete_model(stored, self._event(EventType.MODEL_DELETED, stored.value, by))

    async def finish_deletions(self) -> None:
        """Deletes what is left of deleted models: whoever deleted them may have died over it."""
        for project, uid in await self._store.deletions():
            await self._store.finish_deletion(project, uid)

    # Versions

    async def create_version(
        self, parent: ModelName, draft: ModelVersion, baseline: Baseline | None, *, request_id: str, by: str
    ) -> Stored[ModelVersion]:
        """Registers a version under the next number; a repeat returns the one made first.

        Args:
            parent: The model.
            draft: The version; number, uid, creator, times and what follows from these are filled in here.
            baseline: How its training data looked.
            request_id: Unique per intended create; empty if it is not to be repeated.
            by: Who registers it.

        Raises `ModelNotFound`, `FieldInvalid`, `VersionLimitReached`, `VersionTooLarge`, `NeighbourUnavailable`.
        """
        problem = version_problem(draft) or (baseline_problem(baseline) if baseline is not None else "")
        if problem:
            raise FieldInvalid(problem, field="version")
        await self.get_model(parent)  # nothing is held for a model that is not there
        pending = f"pending/{random_id()}"
        try:
            stored = await self._register(parent, await self._held(draft, pending), baseline, request_id, by)
        except PenstockError:
            await self._release(parent.project, pending, draft)
            raise
        await self._keep_held(stored.value)
        await self._release(parent.project, pending, draft)
        return stored

    async def _register(
        self, parent: ModelName, draft: ModelVersion, baseline: Baseline | None, request_id: str, by: str
    ) -> Stored[ModelVersion]:
        now_us = self._clock.now_us()
        creation = derived_id(by, request_id, f"version {parent}") if request_id else ""

        async def step(model: Model) -> Step:
            if model.latest_number >= VERSIONS_PER_MODEL_MAX:
                raise VersionLimitReached(f"The model has had {VERSIONS_PER_MODEL_MAX:,} versions, which is the limit.")
            version = replace(
                draft,
                project=model.project,
                uid=model.uid,
                number=model.latest_number + 1,
                creator=by,
                create_us=now_us,
                update_us=now_us,
                creation=creation,
                has_details=baseline is not None or any(metric.samples for metric in draft.metrics),
            )
            event = self._event(
                EventType.VERSION_CREATED,
                model,
                by,
                version=version.number,
                description=version.description,
                source_uri=version.source_uri,
                run_id=version.run_id,
                prompt=is_prompt(version.tags),
                **tags_told(version.tags),
            )
            return Step(
                replace(model, latest_number=version.number, update_us=now_us),
                [*add_version(version, baseline), event_operation(event)],
            )

        return await self._store.add_version(parent.project, parent.model_id, creation, step)

    async def get_version(self, name: ModelVersionName) -> tuple[Model, Stored[ModelVersion]]:
        """Returns a version with the samples of its metrics, and its model. Raises `ModelNotFound`, `VersionNotFound`."""
        model, stored = await self._version(name)
        metrics = await self._store.metrics_with_samples(stored.value)
        return model, Stored(replace(stored.value, metrics=metrics), stored.version)

    async def get_versions(self, project: ProjectName, version_ids: Sequence[str]) -> dict[str, Stored[ModelVersion]]:
        """Returns those of the versions that exist, by `bodies.version_id`, their metrics without samples."""
        return await self._store.versions(project.project, version_ids)

    async def get_baseline(self, name: ModelVersionName) -> Baseline:
        """Returns how the training data looked. Raises `ModelNotFound`, `VersionNotFound`, `BaselineNotFound`."""
        _, stored = await self._version(name)
        return await self._store.baseline(stored.value)

    async def update_version(
        self, name: ModelVersionName, change: Callable[[ModelVersion], ModelVersion], *, etag: str, by: str
    ) -> tuple[Model, Stored[ModelVersion]]:
        """Changes description or tags.

        Raises `ModelNotFound`, `VersionNotFound`, `EtagMismatch`, `TooManyTags`, `VersionTooLarge`.
        """
        return await self._change_version(name, change, _tag_changes, etag=etag, by=by)

    async def update_version_tags(
        self, name: ModelVersionName, put: dict[str, str], remove: Sequence[str], *, by: str
    ) -> tuple[Model, Stored[ModelVersion]]:
        """Sets and removes tags. Raises as `update_version`."""
        return await self._change_version(
            name,
            lambda version: replace(version, tags=retagged(version.tags, put, remove)),
            lambda before, _after: tags_told(put, [key for key in remove if key in before.tags and key not in put]),
            etag="",
            by=by,
        )

    async def set_stage(
        self, name: ModelVersionName, stage: Stage, *, archive_existing: bool, by: str
    ) -> tuple[Model, Stored[ModelVersion]]:
        """Puts a version into a stage; others in it may be archived in the same step.

        Raises `ModelNotFound`, `VersionNotFound`, `FieldInvalid`, `TooManyVersions`, `EtagMismatch`.
        """
        if archive_existing and stage not in {Stage.STAGING, Stage.PRODUCTION}:
            raise FieldInvalid("Only who goes into staging or production can archive others.", field="archive_existing")

        async def step(model: Model) -> Step:
            operations: list[Operation] = []

            def move(stored: Stored[ModelVersion], to: Stage) -> None:
                version = replace(stored.value, stage=to, update_us=self._clock.now_us())
                event = self._event(
                    EventType.STAGE_CHANGED,
                    model,
                    by,
                    version=version.number,
                    former_stage=stored.value.stage.label,
                    stage=to.label,
                )
                operations.extend((replace_version(stored, version), event_operation(event)))

            target = await self._store.version(model, name.number)
            if target.value.stage is not stage:
                move(target, stage)
            if archive_existing:
                there = await self._store.versions_in_stage(model, stage, STAGE_CHANGES_MAX + 2)
                others = [stored for stored in there if stored.value.number != name.number]
                if len(others) > STAGE_CHANGES_MAX:
                    raise TooManyVersions(f"More than {STAGE_CHANGES_MAX} versions would be archived.")
                for other in others:
                    move(other, Stage.ARCHIVED)
            if not operations:
                return Step(model)
            return Step(replace(model, update_us=self._clock.now_us()), operations)

        stored = await self._store.change_model(name.model.project, name.model.model_id, step)
        return stored.value, await self._store.version(stored.value, name.number)

    async def delete_version(self, name: ModelVersionName, *, delete_aliases: bool, by: str) -> None:
        """Deletes a version; aliases that point to it go with it, or must not be there.

        Raises `ModelNotFound`, `VersionNotFound`, `VersionHasAliases`, `AliasProtected`, `EtagMismatch`.
        """

        async def step(model: Model) -> Step:
            stored = await self._store.version(model, name.number)
            now_us = self._clock.now_us()
            operations: list[Operation] = []
            aliases = model.aliases_of(name.number)
            for alias in aliases:
                _check_unprotected(model, alias)
            if aliases and not delete_aliases:
                raise VersionHasAliases(
                    f"The version {name.number} of {model.model_id!r} has the aliases {', '.join(aliases)}: move or delete "
                    "them first.",
                    aliases=",".join(aliases),
                )
            changed = model
            for alias in aliases:
                moved = moved_alias(changed, alias, 0, now_us=now_us, by=by, reason="The version was deleted.")
                changed = moved.model
                operations += moved.operations
            gone = replace(stored.value, deleted=True, stage=Stage.NONE, has_details=False, update_us=now_us)
            event = self._event(EventType.VERSION_DELETED, model, by, version=name.number)
            operations += [replace_version(stored, gone), *delete_details(stored.value), event_operation(event)]
            return Step(replace(changed, update_us=now_us), operations)

        stored = await self._store.change_model(name.model.project, name.model.model_id, step)
        await self._release(name.model.project, version_id(stored.value.uid, name.number))

    # Aliases

    async def set_alias(
        self, name: ModelAliasName, number: int, *, reason: str, expected: int | None, by: str
    ) -> AliasTarget:
        """Points an alias to a version.

        Args:
            name: The alias.
            number: The number of the version.
            reason: For the history.
            expected: The number that it must point to still, 0 for none; None means that any will do.
            by: Who moves it.

        Raises `ModelNotFound`, `VersionNotFound`, `AliasReserved`, `AliasMoved`, `AliasProtected`, `AliasLimitReached`,
        `EtagMismatch`.
        """
        check_alias(name.alias)

        async def step(model: Model) -> Step:
            _check_unprotected(model, name.alias)
            current = model.number_of(name.alias)
            check_expected(model, name.alias, expected)
            await self._store.version(model, number)
            if current == number:
                return Step(model)
            return moved_alias(model, name.alias, number, now_us=self._clock.now_us(), by=by, reason=reason)

        stored = await self._store.change_model(name.model.project, name.model.model_id, step)
        return stored.value.aliases[name.alias]

    async def get_alias(self, name: ModelAliasName) -> tuple[Model, Stored[ModelVersion]]:
        """Returns the version that an alias points to, its metrics without samples, and its model.

        Raises `ModelNotFound`, `AliasNotFound`.
        """
        for _ in range(READ_ATTEMPTS_MAX):
            model = (await self.get_model(name.model)).value
            if name.alias.lower() == LATEST:
                latest = await self._store.latest_version(model)
                if latest is None:
                    raise AliasNotFound(f"The model {model.model_id!r} has no version yet.")
                return model, latest
            number = model.number_of(name.alias)
            if not number:
                raise AliasNotFound(f"The model {model.model_id!r} has no alias {name.alias!r}.")
            try:
                return model, await self._store.version(model, number)
            except VersionNotFound:
                continue  # moved and deleted between the two reads: look again
        raise AliasNotFound(f"The alias {name.alias!r} is being moved all the time; try again.")

    async def delete_alias(self, name: ModelAliasName, *, reason: str, by: str) -> None:
        """Deletes an alias. Raises `ModelNotFound`, `AliasNotFound`, `AliasProtected`, `EtagMismatch`."""

        async def step(model: Model) -> Step:
            _check_unprotected(model, name.alias)
            if not model.number_of(name.alias):
                raise AliasNotFound(f"The model {model.model_id!r} has no alias {name.alias!r}.")
            return moved_alias(model, name.alias, 0, now_us=self._clock.now_us(), by=by, reason=reason)

        await self._store.change_model(name.model.project, name.model.model_id, step)

    async def list_moves(
        self, parent: ModelName, alias: str, *, limit: int, cursor: bytes | None
    ) -> tuple[list[AliasMove], bytes | None]:
        """Returns moves of the aliases of a model, newest first, and where to go on. Raises `ModelNotFound`."""
        model = (await self.get_model(parent)).value
        return await self._store.moves(model, alias, limit=limit, cursor=cursor)

    async def _held(self, draft: ModelVersion, holder: str) -> ModelVersion:
        """A version whose files are held for a while, with what the artifact service says of them.

        Raises `FieldInvalid` if there are no such files, `NeighbourUnavailable`.
        """
        if self._artifacts is None or not draft.artifact_version:
            return draft
        held = await self._artifacts.hold(draft.artifact_version, holder, PENDING_S)
        if held is None:
            raise FieldInvalid(f"There is no {draft.artifact_version}.", field="version.artifact_version")
        if draft.artifact_manifest not in {"", held.manifest}:
            raise FieldInvalid(
                f"{draft.artifact_version} has the manifest {held.manifest}, not this one.",
                field="version.artifact_manifest",
            )
        return replace(draft, artifact_manifest=held.manifest, size_bytes=draft.size_bytes or held.size_bytes)

    async def _keep_held(self, version: ModelVersion) -> None:
        """Holds the files of a version for good."""
        if self._artifacts is not None and version.artifact_version:
            with suppress(NeighbourUnavailable):  # then `HoldKeeper` does it
                await self._artifacts.hold(version.artifact_version, version_id(version.uid, version.number))

    async def _release(self, project: str, holder: str, draft: ModelVersion | None = None) -> None:
        """Ends a hold, which there is none of for a draft without files."""
        if self._artifacts is not None and (draft is None or draft.artifact_version):
            with suppress(NeighbourUnavailable):  # then it ends by itself, or `HoldKeeper` does it
                await self._artifacts.release(project, holder)

    async def _version(self, name: ModelVersionName) -> tuple[Model, Stored[ModelVersion]]:
        model = (await self.get_model(name.model)).value
        return model, await self._store.version(model, name.number)

    async def _change_model(
        self,
        name: ModelName,
        change: Callable[[Model], Model],
        told: Callable[[Model, Model], dict[str, Any]],
        *,
        etag: str,
        by: str,
    ) -> Stored[Model]:
        """Changes a model. `told` says what the event tells of it, from before and after."""

        async def step(model: Model) -> Step:
            changed = replace(change(model), update_us=self._clock.now_us())
            _check_tags(len(changed.tags))
            event = self._event(EventType.MODEL_UPDATED, changed, by, **told(model, changed))
            return Step(changed, [event_operation(event)])

        return await self._store.change_model(name.project, name.model_id, step, etag=etag)

    async def _change_version(
        self,
        name: ModelVersionName,
        change: Callable[[ModelVersion], ModelVersion],
        told: Callable[[ModelVersion, ModelVersion], dict[str, Any]],
        *,
        etag: str,
        by: str,
    ) -> tuple[Model, Stored[ModelVersion]]:
        """Changes a version, as `_change_model` a model."""
        model = (await self.get_model(name.model)).value

        def changed(version: ModelVersion) -> ModelVersion:
            new = replace(change(version), update_us=self._clock.now_us())
            _check_tags(len(new.tags))
            return new

        def event(before: ModelVersion, after: ModelVersion) -> Event:
            return self._event(EventType.VERSION_UPDATED, model, by, version=after.number, **told(before, after))

        return model, await self._store.change_version(model, name.number, changed, event, etag=etag)

    def _event(self, kind: EventType, model: Model, by: str, **fields: Any) -> Event:
        return new_event(kind, model, by, self._clock.now_us(), **fields)


def _tag_changes(before: Model | ModelVersion, after: Model | ModelVersion) -> dict[str, Any]:
    """What an event tells of the tags of a model or a version that was written anew."""
    put = {key: value for key, value in after.tags.items() if before.tags.get(key) != value}
    return tags_told(put, [key for key in before.tags if key not in after.tags])


def _check_unprotected(model: Model, alias: str) -> None:
    """Raises `AliasProtected`."""
    if alias in model.protections:
        raise AliasProtected(f"The alias {alias!r} is protected by the gate policy of {model.model_id!r}.", alias=alias)


def _check_tags(count: int) -> None:
    """Raises `TooManyTags`."""
    if count > TAGS_MAX:
        raise TooManyTags(f"There would be {count:,} tags, at most {TAGS_MAX:,} are allowed.", limit="TAGS_MAX")
