"""Records of the domain as bodies of documents, and back. Owns the layout. User keys are values, never field names."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from penstock_registry.domain import (
    AliasMove,
    AliasTarget,
    Baseline,
    Dataset,
    Event,
    EventType,
    FeatureBaseline,
    Field,
    Flavor,
    Metric,
    Model,
    ModelVersion,
    Protection,
    Signature,
    Stage,
)

__all__ = [
    "baseline_of",
    "details_body",
    "event_body",
    "event_of",
    "model_body",
    "model_of",
    "move_body",
    "move_of",
    "samples_body",
    "version_body",
    "version_id",
    "version_of",
    "with_samples",
]

Body = Mapping[str, Any]


def version_id(uid: str, number: int) -> str:
    """The id of a version's documents: those of a model sort by number."""
    return f"{uid}/{number:09d}"


def model_body(model: Model) -> dict[str, Any]:
    """A model."""
    body: dict[str, Any] = {
        "uid": model.uid,
        "description": model.description,
        "tags": _pairs(model.tags),
        "creator": model.creator,
        "create_us": model.create_us,
        "update_us": model.update_us,
        "latest": model.latest_number,
        "moves": model.moves,
        "aliases": [[alias, target.number, target.move_us] for alias, target in model.aliases.items()],
        "protections": [[alias, p.gate_required, p.approvals_required] for alias, p in model.protections.items()],
        "policy_revision": model.policy_revision,
    }
    if model.creation:
        body["creation"] = model.creation
    return body


def model_of(project: str, model_id: str, body: Body) -> Model:
    """The model in a body."""
    return Model(
        project=project,
        model_id=model_id,
        uid=body["uid"],
        description=body["description"],
        tags=dict(body["tags"]),
        creator=body["creator"],
        create_us=body["create_us"],
        update_us=body["update_us"],
        creation=body.get("creation", ""),
        latest_number=body["latest"],
        moves=body["moves"],
        aliases={alias: AliasTarget(number, move_us) for alias, number, move_us in body["aliases"]},
        protections={alias: Protection(gate, approvals) for alias, gate, approvals in body["protections"]},
        policy_revision=body["policy_revision"],
    )


def version_body(version: ModelVersion) -> dict[str, Any]:
    """A version, but for its samples."""
    body: dict[str, Any] = {
        "uid": version.uid,
        "number": version.number,
        "description": version.description,
        "tags": _pairs(version.tags),
        "manifest": version.artifact_manifest,
        "source_uri": version.source_uri,
        "run": version.run_id,
        "run_link": version.run_link,
        "logged_model": version.logged_model,
        "signature": None if version.signature is None else _signature_body(version.signature),
        "flavors": [[flavor.name, _pairs(flavor.options)] for flavor in version.flavors],
        "metrics": [[metric.key, metric.slice, metric.value] for metric in version.metrics],
        "datasets": [[d.name, d.digest, d.source_uri, d.context] for d in version.datasets],
        "size_bytes": version.size_bytes,
        "creator": version.creator,
        "create_us": version.create_us,
        "update_us": version.update_us,
        "stage": int(version.stage),
        "deleted": version.deleted,
        "has_details": version.has_details,
        "artifact_version": version.artifact_version,
    }
    if version.creation:
        body["creation"] = version.creation
    return body


def version_of(project: str, body: Body) -> ModelVersion:
    """The version in a body, without samples."""
    return ModelVersion(
        project=project,
        uid=body["uid"],
        number=body["number"],
        description=body["description"],
        tags=dict(body["tags"]),
        artifact_manifest=body["manifest"],
        source_uri=body["source_uri"],
        run_id=body["run"],
        run_link=body["run_link"],
        logged_model=body["logged_model"],
        signature=None if body["signature"] is None else _signature_of(body["signature"]),
        flavors=tuple(Flavor(name, dict(options)) for name, options in body["flavors"]),
        metrics=tuple(Metric(key, slice_, value) for key, slice_, value in body["metrics"]),
        datasets=tuple(Dataset(*parts) for parts in body["datasets"]),
        size_bytes=body["size_bytes"],
        creator=body["creator"],
        create_us=body["create_us"],
        update_us=body["update_us"],
        stage=Stage(body["stage"]),
        deleted=body["deleted"],
        creation=body.get("creation", ""),
        has_details=body["has_details"],
        artifact_version=body.get("artifact_version", ""),
    )


def details_body(version: ModelVersion, baseline: Baseline | None) -> dict[str, Any]:
    """The samples and the baseline of a version."""
    return {
        "uid": version.uid,
        "samples": samples_body(version.metrics),
        "baseline": None
        if baseline is None
        else [[f.name, list(f.edges), list(f.categories), list(f.counts), f.missing] for f in baseline.features],
    }


def samples_body(metrics: Iterable[Metric]) -> list[Any]:
    """The samples of metrics."""
    return [[metric.key, metric.slice, metric.samples] for metric in metrics if metric.samples]


def with_samples(metrics: Iterable[Metric], body: Body) -> tuple[Metric, ...]:
    """Metrics with their samples, which are in a body."""
    samples = {(key, slice_): content for key, slice_, content in body["samples"]}
    return tuple(replace(metric, samples=samples.get((metric.key, metric.slice), b"")) for metric in metrics)


def baseline_of(body: Body) -> Baseline | None:
    """The baseline in details, if there is one."""
    if body["baseline"] is None:
        return None
    return Baseline(
        tuple(
            FeatureBaseline(name, tuple(edges), tuple(categories), tuple(counts), missing)
            for name, edges, categories, counts, missing in body["baseline"]
        )
    )


def move_body(move: AliasMove, uid: str, number: int) -> dict[str, Any]:
    """A move of an alias, the `number`-th of its model."""
    return {
        "uid": uid,
        "number": number,
        "alias": move.alias,
        "from": move.from_number,
        "to": move.to_number,
        "principal": move.principal,
        "reason": move.reason,
        "move_us": move.move_us,
        "model": move.model_id,
        "verdict": move.verdict,
        "approvers": list(move.approvers),
    }


def move_of(body: Body) -> AliasMove:
    """The move in a body."""
    return AliasMove(
        alias=body["alias"],
        from_number=body["from"],
        to_number=body["to"],
        principal=body["principal"],
        reason=body["reason"],
        move_us=body["move_us"],
        model_id=body["model"],
        verdict=body["verdict"],
        approvers=tuple(body["approvers"]),
    )


def event_body(event: Event) -> dict[str, Any]:
    """An event."""
    return {
        "type": int(event.type),
        "time_us": event.time_us,
        "principal": event.principal,
        "model": event.model_id,
        "version": event.version,
        "alias": event.alias,
        "former_version": event.former_version,
        "former_model": event.former_model_id,
        "reason": event.reason,
        "former_stage": event.former_stage,
        "stage": event.stage,
        "verdict": event.verdict,
        "passed": event.passed,
        "chain_length": event.chain_length,
        "set_tags": _pairs(event.set_tags),
        "removed_tags": list(event.removed_tags),
        "description": event.description,
        "source_uri": event.source_uri,
        "run": event.run_id,
        "prompt": event.prompt,
    }


def event_of(event_id: str, body: Body) -> Event:
    """The event in a body."""
    return Event(
        id=event_id,
        type=EventType(body["type"]),
        time_us=body["time_us"],
        principal=body["principal"],
        model_id=body["model"],
        version=body["version"],
        alias=body["alias"],
        former_version=body["former_version"],
        former_model_id=body["former_model"],
        reason=body["reason"],
        former_stage=body["former_stage"],
        stage=body["stage"],
        verdict=body["verdict"],
        passed=body["passed"],
        chain_length=body.get("chain_length", 0),
        set_tags=dict(body.get("set_tags", ())),
        removed_tags=tuple(body.get("removed_tags", ())),
        description=body.get("description", ""),
        source_uri=body.get("source_uri", ""),
        run_id=body.get("run", ""),
        prompt=body.get("prompt", False),
    )


def _signature_body(signature: Signature) -> list[Any]:
    return [
        [[f.name, f.datatype, list(f.shape), f.optional] for f in fields]
        for fields in (signature.inputs, signature.outputs, signature.params)
    ]


def _signature_of(parts: Any) -> Signature:
    return Signature(
        *(
            tuple(Field(name, datatype, tuple(shape), optional) for name, datatype, shape, optional in fields)
            for fields in parts
        )
    )


def _pairs(mapping: Mapping[str, str]) -> list[list[str]]:
    return [[key, text] for key, text in mapping.items()]
