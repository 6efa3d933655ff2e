"""Between the messages of the contract and the domain. No decisions here."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from penstock.api.registry.v1 import model_pb2
from penstock_kit.names import ArtifactVersionName, ModelAliasName, ModelName, ModelVersionName, RunName
from penstock_registry.domain import (
    AliasMove,
    AliasTarget,
    Baseline,
    Dataset,
    FeatureBaseline,
    Field,
    Flavor,
    Metric,
    Model,
    ModelVersion,
    Signature,
    Stage,
)
from penstock_registry.errors import FieldInvalid
from penstock_registry.store import Stored

__all__ = [
    "alias_message",
    "baseline_from_message",
    "baseline_message",
    "dataset_message",
    "draft_from_message",
    "model_message",
    "move_message",
    "version_message",
]


def time_of_us(time_us: int) -> Timestamp:
    """Microseconds since 1970 UTC as a timestamp."""
    seconds, micros = divmod(time_us, 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1_000)


def model_message(stored: Stored[Model]) -> model_pb2.Model:
    """A model."""
    model = stored.value
    name = ModelName(model.project, model.model_id)
    return model_pb2.Model(
        name=str(name),
        uid=model.uid,
        description=model.description,
        tags=model.tags,
        latest_version=model.latest_number,
        aliases=[alias_message(name, alias, target) for alias, target in sorted(model.aliases.items())],
        creator=model.creator,
        create_time=time_of_us(model.create_us),
        update_time=time_of_us(model.update_us),
        etag=stored.etag,
    )


def alias_message(model: ModelName, alias: str, target: AliasTarget) -> model_pb2.ModelAlias:
    """An alias. One that never moved, such as `latest`, has no time."""
    return model_pb2.ModelAlias(
        name=str(ModelAliasName(model, alias)),
        version=str(ModelVersionName(model, target.number)),
        update_time=time_of_us(target.move_us) if target.move_us else None,
    )


def version_message(model: Model, stored: Stored[ModelVersion]) -> model_pb2.ModelVersion:
    """A version of a model."""
    version = stored.value
    return model_pb2.ModelVersion(
        name=str(ModelVersionName(ModelName(model.project, model.model_id), version.number)),
        number=version.number,
        description=version.description,
        tags=version.tags,
        artifact_manifest=version.artifact_manifest,
        artifact_version=version.artifact_version,
        source_uri=version.source_uri,
        run=str(RunName(version.project, version.run_id)) if version.run_id else "",
        run_link=version.run_link,
        logged_model=version.logged_model,
        signature=None if version.signature is None else _signature_message(version.signature),
        flavors=[model_pb2.ModelFlavor(name=flavor.name, options=flavor.options) for flavor in version.flavors],
        metrics=metric_messages(version.metrics),
        datasets=[dataset_message(dataset) for dataset in version.datasets],
        size_bytes=version.size_bytes,
        aliases=model.aliases_of(version.number),
        stage=model_pb2.ModelVersionStage.Name(version.stage),
        state=model_pb2.MODEL_VERSION_STATE_READY,
        creator=version.creator,
        create_time=time_of_us(version.create_us),
        update_time=time_of_us(version.update_us),
        etag=stored.etag,
    )


def draft_from_message(project: str, message: model_pb2.ModelVersion) -> ModelVersion:
    """A version that is to be registered: what follows from its model and its maker is left empty.

    Raises `FieldInvalid` for a run or an artifact of another project, `NameInvalid` for what is none.
    """
    return ModelVersion(
        project=project,
        uid="",
        number=0,
        description=message.description,
        tags=dict(message.tags),
        artifact_manifest=message.artifact_manifest,
        source_uri=message.source_uri,
        run_id=_run_id(project, message.run),
        run_link=message.run_link,
        logged_model=message.logged_model,
        signature=_signature(message.signature) if message.HasField("signature") else None,
        flavors=tuple(Flavor(flavor.name, dict(flavor.options)) for flavor in message.flavors),
        metrics=metrics_from_messages(message.metrics),
        datasets=tuple(dataset_from_message(dataset) for dataset in message.datasets),
        size_bytes=message.size_bytes,
        creator="",
        create_us=0,
        update_us=0,
        artifact_version=_artifact_version(project, message.artifact_version),
    )


def metric_messages(metrics: Iterable[Metric]) -> list[model_pb2.ModelMetric]:
    """Metrics."""
    return [
        model_pb2.ModelMetric(
            key=metric.key, slice=metric.slice, value=metric.value, samples=np.frombuffer(metric.samples, "<f8")
        )
        for metric in metrics
    ]


def metrics_from_messages(messages: Iterable[model_pb2.ModelMetric]) -> tuple[Metric, ...]:
    """Metrics, in order of key and slice."""
    metrics = [
        Metric(message.key, message.slice, message.value, np.array(message.samples, "<f8").tobytes())
        for message in messages
    ]
    return tuple(sorted(metrics, key=lambda metric: (metric.key, metric.slice)))


def dataset_message(dataset: Dataset) -> model_pb2.ModelDataset:
    """A dataset."""
    return model_pb2.ModelDataset(
        name=dataset.name, digest=dataset.digest, source_uri=dataset.source_uri, context=dataset.context
    )


def dataset_from_message(message: model_pb2.ModelDataset) -> Dataset:
    """A dataset."""
    return Dataset(message.name, message.digest, message.source_uri, message.context)


def baseline_message(baseline: Baseline) -> model_pb2.ModelBaseline:
    """A baseline."""
    return model_pb2.ModelBaseline(
        features=[
            model_pb2.FeatureBaseline(
                name=feature.name,
                edges=feature.edges,
                categories=feature.categories,
                counts=feature.counts,
                missing=feature.missing,
            )
            for feature in baseline.features
        ]
    )


def baseline_from_message(message: model_pb2.ModelBaseline) -> Baseline:
    """A baseline."""
    return Baseline(
        tuple(
            FeatureBaseline(
                feature.name, tuple(feature.edges), tuple(feature.categories), tuple(feature.counts), feature.missing
            )
            for feature in message.features
        )
    )


def move_message(project: str, move: AliasMove) -> model_pb2.AliasMove:
    """A move of an alias."""
    model = ModelName(project, move.model_id)
    return model_pb2.AliasMove(
        alias=str(ModelAliasName(model, move.alias)),
        from_version=move.from_number,
        to_version=move.to_number,
        principal=move.principal,
        reason=move.reason,
        move_time=time_of_us(move.move_us),
        verdict=f"{model}/verdicts/{move.verdict}" if move.verdict else "",
        approvers=move.approvers,
    )


def stages_from_message(stages: Iterable[int]) -> list[Stage]:
    """Stages; all of them if none is named."""
    return [Stage(stage) for stage in stages] or list(Stage)


def _run_id(project: str, name: str) -> str:
    if not name:
        return ""
    run = RunName.parse(name)
    if run.project != project:
        raise FieldInvalid(f"{name} is not a run of the project {project}.", field="version.run")
    return run.run_id


def _artifact_version(project: str, name: str) -> str:
    if not name:
        return ""
    version = ArtifactVersionName.parse(name)
    if version.artifact.project != project or version.number is None:
        raise FieldInvalid(
            f"{name} is not a version, by its number, of an artifact of the project {project}.",
            field="version.artifact_version",
        )
    return str(version)


def _signature_message(signature: Signature) -> model_pb2.ModelSignature:
    def fields(items: Iterable[Field]) -> list[model_pb2.ModelField]:
        return [
            model_pb2.ModelField(name=item.name, datatype=item.datatype, shape=item.shape, optional=item.optional)
            for item in items
        ]

    return model_pb2.ModelSignature(
        inputs=fields(signature.inputs), outputs=fields(signature.outputs), params=fields(signature.params)
    )


def _signature(message: model_pb2.ModelSignature) -> Signature:
    def fields(items: Any) -> tuple[Field, ...]:
        return tuple(Field(item.name, item.datatype, tuple(item.shape), item.optional) for item in items)

    return Signature(fields(message.inputs), fields(message.outputs), fields(message.params))
