"""What filters and orders may name of a model and of a version, and the cells that these have there."""

from collections.abc import Mapping
from typing import Any, Final

from penstock_kit.search import ATTRIBUTES, ColumnType, Field, Schema
from penstock_registry.domain import Model, ModelVersion

__all__ = ["ALIASES", "MODEL", "MODEL_SCHEMA", "VERSION_SCHEMA", "model_cells", "version_cells"]

TAGS: Final = "tags"
METRICS: Final = "metrics"
ALIASES: Final = "aliases"
FLAVORS: Final = "flavors"
DATASETS: Final = "datasets"

MODEL: Final = Field(ATTRIBUTES, "model", ColumnType.VALUE)

MODEL_SCHEMA: Final = Schema(
    attributes={
        "name": ColumnType.VALUE,  # the last segment of its resource name
        "description": ColumnType.VALUE,
        "creator": ColumnType.VALUE,
        "create_time": ColumnType.TIME,
        "update_time": ColumnType.TIME,
        "latest_version": ColumnType.NUMBER,
    },
    aliases={"model": "name"},
    collections={TAGS: ColumnType.VALUE, ALIASES: ColumnType.NUMBER},
)

VERSION_SCHEMA: Final = Schema(
    attributes={
        "model": ColumnType.VALUE,
        "version": ColumnType.NUMBER,
        "description": ColumnType.VALUE,
        "stage": ColumnType.VALUE,  # "None", "Staging", "Production", "Archived"
        "run": ColumnType.VALUE,  # its id
        "run_link": ColumnType.VALUE,
        "logged_model": ColumnType.VALUE,
        "artifact_manifest": ColumnType.VALUE,
        "artifact_version": ColumnType.VALUE,
        "source_uri": ColumnType.VALUE,
        "size_bytes": ColumnType.NUMBER,
        "creator": ColumnType.VALUE,
        "create_time": ColumnType.TIME,
        "update_time": ColumnType.TIME,
    },
    aliases={"name": "model", "number": "version"},
    collections={
        TAGS: ColumnType.VALUE,
        METRICS: ColumnType.NUMBER,
        ALIASES: ColumnType.VALUE,
        FLAVORS: ColumnType.VALUE,
        DATASETS: ColumnType.VALUE,
    },
)


def model_cells(model: Model) -> dict[str, Mapping[str, Any]]:
    """The cells of a model by collection. An empty attribute is missing."""
    return {
        ATTRIBUTES: {
            "name": model.model_id,
            "create_time": model.create_us,
            "update_time": model.update_us,
            "latest_version": model.latest_number,
            **_there({"description": model.description, "creator": model.creator}),
        },
        TAGS: dict(model.tags),
        ALIASES: {alias: target.number for alias, target in model.aliases.items()},
    }


def version_cells(version: ModelVersion, model_id: str) -> dict[str, Mapping[str, Any]]:
    """The cells of a version by collection, but for its aliases, which are the model's. An empty attribute is missing.

    Args:
        version: The version.
        model_id: What its model is called now; empty if that is not known yet.
    """
    texts = {
        "model": model_id,
        "description": version.description,
        "run": version.run_id,
        "run_link": version.run_link,
        "logged_model": version.logged_model,
        "artifact_manifest": version.artifact_manifest,
        "artifact_version": version.artifact_version,
        "source_uri": version.source_uri,
        "creator": version.creator,
    }
    return {
        ATTRIBUTES: {
            "version": version.number,
            "stage": version.stage.label,
            "size_bytes": version.size_bytes,
            "create_time": version.create_us,
            "update_time": version.update_us,
            **_there(texts),
        },
        TAGS: dict(version.tags),
        METRICS: {metric.key: metric.value for metric in version.metrics if not metric.slice},
        FLAVORS: {flavor.name: True for flavor in version.flavors},
        DATASETS: {dataset.name: dataset.digest for dataset in version.datasets},
    }


def _there(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text}
