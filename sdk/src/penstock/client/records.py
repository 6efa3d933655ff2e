"""Messages of the contract as plain Python values: nested for JSON, flat for tables."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from penstock.api.artifact.v1 import artifact_pb2, file_pb2, media_pb2
from penstock.api.auth.v1 import auth_service_pb2
from penstock.api.registry.v1 import event_pb2, gate_pb2, model_pb2
from penstock.api.tracking.v1 import alert_pb2, experiment_pb2, metric_pb2, run_pb2, tracking_service_pb2

__all__ = [
    "alert_record",
    "artifact_entry_record",
    "artifact_link_record",
    "artifact_record",
    "artifact_version_record",
    "column_name",
    "delivery_record",
    "directory_entry_record",
    "experiment_record",
    "flat",
    "group_record",
    "key_record",
    "latest_record",
    "media_record",
    "model_record",
    "model_version_record",
    "move_record",
    "project_record",
    "run_record",
    "selected",
    "series_rows",
    "time_of",
    "time_of_us",
    "token_record",
    "value_of",
    "verdict_record",
    "webhook_record",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def value_of(value: run_pb2.Value) -> Any:
    """A typed value as str, int, float, bool, or whatever its JSON says; None if it is not set."""
    kind = value.WhichOneof("kind")
    if kind is None:
        return None
    if kind != "json_value":
        return getattr(value, kind)
    try:
        return json.loads(value.json_value)
    except ValueError:
        return value.json_value


def time_of(message: Any, field: str) -> datetime | None:
    """A timestamp field as a time in UTC; None if it is not set."""
    if not message.HasField(field):
        return None
    stamp = getattr(message, field)
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def time_of_us(time_unix_us: int) -> datetime | None:
    """Microseconds since 1970 as a time in UTC; None if it is beyond what a datetime holds."""
    try:
        return _EPOCH + timedelta(microseconds=time_unix_us)
    except OverflowError:
        return None


def project_record(project: auth_service_pb2.Project) -> dict[str, Any]:
    """A project."""
    return {
        "name": project.name,
        "title": project.title,
        "description": project.description,
        "create_time": time_of(project, "create_time"),
        "update_time": time_of(project, "update_time"),
    }


def token_record(token: auth_service_pb2.Token) -> dict[str, Any]:
    """A token, without its secret."""
    return {
        "name": token.name,
        "title": token.title,
        "projects": list(token.projects),
        "role": _enum_name(auth_service_pb2.Role.Name(token.role), "ROLE_"),
        "create_time": time_of(token, "create_time"),
        "expire_time": time_of(token, "expire_time"),
        "last_use_time": time_of(token, "last_use_time"),
    }


def experiment_record(experiment: experiment_pb2.Experiment) -> dict[str, Any]:
    """An experiment."""
    return {
        "name": experiment.name,
        "display_name": experiment.display_name,
        "description": experiment.description,
        "lifecycle_stage": _stage(experiment.lifecycle_stage),
        "tags": dict(experiment.tags),
        "create_time": time_of(experiment, "create_time"),
        "update_time": time_of(experiment, "update_time"),
    }


def run_record(run: run_pb2.Run) -> dict[str, Any]:
    """A run, with what it carries: params, tags, summary and metrics by key, a metric by its latest value."""
    return {
        "name": run.name,
        "display_name": run.display_name,
        "experiment": run.experiment,
        "state": _enum_name(run_pb2.RunState.Name(run.state), "RUN_STATE_"),
        "lifecycle_stage": _stage(run.lifecycle_stage),
        "start_time": time_of(run, "start_time"),
        "end_time": time_of(run, "end_time"),
        "heartbeat_time": time_of(run, "heartbeat_time"),
        "create_time": time_of(run, "create_time"),
        "update_time": time_of(run, "update_time"),
        "creator": run.creator,
        "notes": run.notes,
        "group": run.group,
        "forked_from": run.forked_from,
        "fork_step": run.fork_step if run.forked_from else None,
        "failure": run.failure,
        "ranks": list(run.ranks),
        "params": {param.key: value_of(param.value) for param in run.params},
        "tags": {tag.key: tag.value for tag in run.tags},
        "summary": {entry.key: value_of(entry.value) for entry in run.summary},
        "metrics": {metric.key: metric.value for metric in run.latest_metrics},
    }


def model_record(model: model_pb2.Model) -> dict[str, Any]:
    """A registered model; its aliases are numbers of versions."""
    return {
        "name": model.name,
        "description": model.description,
        "tags": dict(model.tags),
        "latest_version": model.latest_version,
        "aliases": {_last(alias.name): int(_last(alias.version)) for alias in model.aliases},
        "creator": model.creator,
        "create_time": time_of(model, "create_time"),
        "update_time": time_of(model, "update_time"),
    }


def model_version_record(version: model_pb2.ModelVersion) -> dict[str, Any]:
    """A version of a model; its metrics are those of all data, and `slices` holds the others by slice."""
    slices: dict[str, dict[str, float]] = {}
    for metric in version.metrics:
        slices.setdefault(metric.slice, {})[metric.key] = metric.value
    return {
        "name": version.name,
        "model": version.name.split("/")[3],
        "version": version.number,
        "description": version.description,
        "tags": dict(version.tags),
        "aliases": list(version.aliases),
        "stage": _enum_name(model_pb2.ModelVersionStage.Name(version.stage), "MODEL_VERSION_STAGE_"),
        "metrics": slices.pop("", {}),
        "slices": slices,
        "run": version.run,
        "artifact_manifest": version.artifact_manifest,
        "artifact_version": version.artifact_version,
        "source_uri": version.source_uri,
        "flavors": [flavor.name for flavor in version.flavors],
        "datasets": [dataset.name for dataset in version.datasets],
        "size_bytes": version.size_bytes,
        "creator": version.creator,
        "create_time": time_of(version, "create_time"),
        "update_time": time_of(version, "update_time"),
    }


def webhook_record(webhook: event_pb2.Webhook) -> dict[str, Any]:
    """A webhook, without its secret; `target` is the address of what it tells."""
    kind = webhook.WhichOneof("target") or ""
    targets = {
        "http": webhook.http.url,
        "github": f"{webhook.github.repository} {webhook.github.workflow}",
        "gitlab": f"{webhook.gitlab.url} {webhook.gitlab.project}",
        "jenkins": webhook.jenkins.job_url,
        "mlflow": webhook.mlflow.url,
    }
    return {
        "name": webhook.name,
        "display_name": webhook.display_name,
        "description": webhook.description,
        "types": [_enum_name(event_pb2.EventType.Name(one), "EVENT_TYPE_") for one in webhook.types],
        "model": webhook.model,
        "alias": webhook.alias,
        "kind": kind,
        "target": targets.get(kind, ""),
        "enabled": webhook.enabled,
        "disabled_reason": webhook.disabled_reason,
        "create_time": time_of(webhook, "create_time"),
    }


def delivery_record(delivery: event_pb2.Delivery) -> dict[str, Any]:
    """A delivery, with its attempts, oldest first."""
    return {
        "name": delivery.name,
        "event": _enum_name(event_pb2.EventType.Name(delivery.event.type), "EVENT_TYPE_"),
        "event_id": delivery.event.id,
        "model": delivery.event.model,
        "state": _enum_name(event_pb2.DeliveryState.Name(delivery.state), "DELIVERY_STATE_"),
        "attempts": [
            {
                "time": time_of(attempt, "time"),
                "duration_ms": attempt.duration_ms,
                "http_status": attempt.http_status or None,
                "error": attempt.error,
            }
            for attempt in delivery.attempts
        ],
        "create_time": time_of(delivery, "create_time"),
        "next_attempt_time": time_of(delivery, "next_attempt_time"),
    }


def artifact_record(artifact: artifact_pb2.Artifact) -> dict[str, Any]:
    """An artifact."""
    return {
        "name": artifact.name,
        "artifact": artifact.name.split("/")[3],
        "type": artifact.type,
        "latest_version": artifact.latest_version,
        "creator": artifact.creator,
        "create_time": time_of(artifact, "create_time"),
        "update_time": time_of(artifact, "update_time"),
    }


def artifact_version_record(version: artifact_pb2.ArtifactVersion) -> dict[str, Any]:
    """A version of an artifact."""
    return {
        "name": version.name,
        "artifact": version.name.split("/")[3],
        "version": int(version.name.split("/")[5]),
        "type": version.type,
        "manifest": version.manifest,
        "file_count": version.file_count,
        "reference_count": version.reference_count,
        "size_bytes": version.size_bytes,
        "description": version.description,
        "creator": version.creator,
        "create_time": time_of(version, "create_time"),
    }


def directory_entry_record(entry: file_pb2.DirectoryEntry) -> dict[str, Any]:
    """A file or a directory of a run or a logged model; None for what a directory does not have."""
    if not entry.HasField("file"):
        return {
            "path": entry.directory,
            "directory": True,
            "size_bytes": None,
            "sha256": None,
            "media_type": None,
            "creator": None,
            "update_time": None,
        }
    file = entry.file
    return {
        "path": file.path,
        "directory": False,
        "size_bytes": file.blob.size_bytes,
        "sha256": file.blob.sha256,
        "media_type": file.media_type or None,
        "creator": file.creator,
        "update_time": time_of(file, "update_time"),
    }


def media_record(file: file_pb2.File) -> dict[str, Any]:
    """A file that a run logged as media."""
    media = file.media
    return {
        "key": media.key,
        "kind": media_pb2.MediaKind.Name(media.kind).removeprefix("MEDIA_KIND_").lower(),
        "step": media.step,
        "rank": media.rank,
        "log_time": time_of(media, "log_time"),
        "caption": media.caption,
        "path": file.path,
        "media_type": file.media_type,
        "size_bytes": file.blob.size_bytes,
    }


def artifact_entry_record(entry: artifact_pb2.ManifestEntry) -> dict[str, Any]:
    """A file or a reference of a version; None for what it does not have."""
    if entry.HasField("file"):
        blob = entry.file.blob
        return {
            "path": entry.path,
            "size_bytes": blob.size_bytes,
            "sha256": blob.sha256,
            "media_type": entry.file.media_type or None,
            "uri": None,
        }
    reference = entry.reference
    return {
        "path": entry.path,
        "size_bytes": reference.size_bytes if reference.HasField("size_bytes") else None,
        "sha256": None,
        "media_type": None,
        "uri": reference.uri,
    }


def artifact_link_record(link: artifact_pb2.ArtifactLink) -> dict[str, Any]:
    """That a run wrote or used a version."""
    return {
        "version": link.version,
        "run": link.run,
        "kind": artifact_pb2.ArtifactLinkKind.Name(link.kind).removeprefix("ARTIFACT_LINK_KIND_").lower(),
        "create_time": time_of(link, "create_time"),
    }


def alert_record(alert: alert_pb2.Alert) -> dict[str, Any]:
    """What a run had to say."""
    return {
        "name": alert.name,
        "run": alert.name.rpartition("/alerts/")[0],
        "title": alert.title,
        "text": alert.text,
        "level": alert_pb2.AlertLevel.Name(alert.level).removeprefix("ALERT_LEVEL_").lower(),
        "step": alert.step if alert.HasField("step") else None,
        "alert_time": time_of(alert, "alert_time"),
        "create_time": time_of(alert, "create_time"),
        "creator": alert.creator,
    }


def verdict_record(verdict: gate_pb2.Verdict) -> dict[str, Any]:
    """A verdict with its evidence; None for what a result does not have."""

    def number(result: gate_pb2.CheckResult, field: str) -> float | None:
        return getattr(result, field) if result.HasField(field) else None

    return {
        "name": verdict.name,
        "version": verdict.version,
        "policy_revision": verdict.policy_revision,
        "passed": verdict.passed,
        "results": [
            {
                "check": result.check,
                "outcome": _enum_name(gate_pb2.CheckOutcome.Name(result.outcome), "CHECK_OUTCOME_"),
                "message": result.message,
                "metric": result.metric,
                "slice": result.slice,
                "value": number(result, "value"),
                "reference": number(result, "reference"),
                "reference_version": result.reference_version or None,
                "improvement": number(result, "improvement"),
                "improvement_low": number(result, "improvement_low"),
                "improvement_high": number(result, "improvement_high"),
                "paired": result.paired,
            }
            for result in verdict.results
        ],
        "references": {alias: number or None for alias, number in sorted(verdict.references.items())},
        "evaluations": list(verdict.evaluations),
        "creator": verdict.creator,
        "create_time": time_of(verdict, "create_time"),
    }


def gate_record(gate: gate_pb2.Gate) -> dict[str, Any]:
    """A model with a gate policy; None for what an alias does not point to."""
    return {
        "model": gate.model,
        "revision": gate.policy.revision,
        "checks": [check.id for check in gate.policy.checks],
        "protected_aliases": [
            {
                "alias": one.alias,
                "version": gate.aliases.get(one.alias) or None,
                "gate_required": one.gate_required,
                "approvals_required": one.approvals_required,
            }
            for one in gate.policy.protected_aliases
        ],
        "verdicts": [verdict_record(verdict) for verdict in gate.verdicts],
        "approvals": [
            {
                "version": approval.version,
                "alias": approval.alias,
                "principal": approval.principal,
                "comment": approval.comment,
                "create_time": time_of(approval, "create_time"),
            }
            for approval in gate.approvals
        ],
    }


def move_record(move: model_pb2.AliasMove) -> dict[str, Any]:
    """A move of an alias; None for no version."""
    return {
        "alias": _last(move.alias),
        "from_version": move.from_version or None,
        "to_version": move.to_version or None,
        "principal": move.principal,
        "reason": move.reason,
        "move_time": time_of(move, "move_time"),
        "verdict": move.verdict,
        "approvers": list(move.approvers),
    }


def group_record(group: tracking_service_pb2.RunGroup, by: Iterable[str], aggregates: Iterable[str]) -> dict[str, Any]:
    """A group of runs: what they share of each field, how many they are, and each aggregate; None for what there is not."""
    values = (found.value if found.HasField("value") else None for found in group.aggregates)
    return {
        **dict(zip(by, map(value_of, group.keys), strict=True)),
        "runs": group.runs,
        **dict(zip(aggregates, values, strict=True)),
    }


def latest_record(metric: run_pb2.LatestMetric) -> dict[str, Any]:
    """The latest value of a metric."""
    return {
        "key": metric.key,
        "value": metric.value,
        "step": metric.step,
        "time": time_of_us(metric.time_unix_us),
        "min": metric.min,
        "max": metric.max,
        "points": metric.points,
    }


def key_record(key: str) -> dict[str, Any]:
    """The key of a metric."""
    return {"key": key}


def series_rows(series: metric_pb2.MetricSeries) -> Iterator[dict[str, Any]]:
    """A series, one row per point or bucket.

    A point is a bucket of one: its `count` is 1, its `min`, `max` and `mean` are its value. Of a bucket, `step`, `time` and
    `value` are those of its last point.
    """
    head = {"run": series.run, "key": series.key, "rank": series.rank if series.HasField("rank") else None}
    if series.WhichOneof("data") == "buckets":
        buckets = series.buckets
        for index, count in enumerate(buckets.counts):
            yield {
                **head,
                "first_step": buckets.first_steps[index],
                "step": buckets.last_steps[index],
                "time": time_of_us(buckets.last_times_unix_us[index]),
                "value": buckets.lasts[index],
                "count": count,
                "min": buckets.mins[index],
                "max": buckets.maxs[index],
                "mean": buckets.means[index],
            }
        return
    points = series.points
    for step, time_us, value in zip(points.steps, points.times_unix_us, points.values, strict=True):
        yield {
            **head,
            "first_step": step,
            "step": step,
            "time": time_of_us(time_us),
            "value": value,
            "count": 1,
            "min": value,
            "max": value,
            "mean": value,
        }


def flat(
    record: Mapping[str, Any], collections: Iterable[str] = ("params", "tags", "summary", "metrics")
) -> dict[str, Any]:
    """A record without nesting: `{"params": {"lr": 0.1}}` becomes `{"params.lr": 0.1}`."""
    apart = set(collections)
    row: dict[str, Any] = {}
    for key, value in record.items():
        if key in apart and isinstance(value, Mapping):
            row.update({f"{key}.{inner}": content for inner, content in value.items()})
        else:
            row[key] = value
    return row


def column_name(column: str) -> str:
    """A column as the contract names it: `metrics."val/loss"`, as a filter writes it, is the column `metrics.val/loss`."""
    kind, dot, key = column.partition(".")
    for quote in ('"', "`"):
        if len(key) >= 2 and key.startswith(quote) and key.endswith(quote):
            return f"{kind}{dot}{key[1:-1].replace(quote * 2, quote)}"
    return column


def selected(row: Mapping[str, Any], columns: Iterable[str]) -> dict[str, Any]:
    """The asked columns of a flat row, in the asked order: fields, `params.lr`, or `params` for all of a kind."""
    found: dict[str, Any] = {}
    for column in columns:
        if "." not in column and column not in row:
            found.update({name: value for name, value in row.items() if name.startswith(f"{column}.")})
        else:
            found[column] = row.get(column)
    return found


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _stage(stage: experiment_pb2.LifecycleStage) -> str:
    return _enum_name(experiment_pb2.LifecycleStage.Name(stage), "LIFECYCLE_STAGE_")


def _enum_name(name: str, prefix: str) -> str:
    short = name.removeprefix(prefix)
    return "" if short == "UNSPECIFIED" else short
