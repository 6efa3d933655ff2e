"""Which operation each path of MLflow's API is, below `/api` of a project's tracking URI."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from penstock_gateway.mlflow import (
    artifacts,
    experiments,
    inputs,
    logged_models,
    metrics,
    model_versions,
    multipart,
    registered_models,
    runs,
    webhooks,
)
from penstock_gateway.mlflow.calls import Call
from penstock_gateway.mlflow.entities import Json

__all__ = ["ROUTES", "FileRoute", "Operation", "Route", "find"]

Operation = Callable[[Call], Awaitable[Json | bytes]]
"""Answers a request with JSON, or with the bytes of it."""


FileOperation = Callable[[Call, Request], Awaitable[Response]]
"""Takes or gives a file, which passes through piece by piece. What it raises is answered as of others."""


@dataclass(frozen=True, slots=True)
class Route:
    """An operation and where it is.

    Attributes:
        method: Of HTTP.
        path: Below `/api`, such as `/2.0/mlflow/runs/get`; a part in braces varies.
        operation: What answers.
    """

    method: str
    path: str
    operation: Operation


@dataclass(frozen=True, slots=True)
class FileRoute:
    """Likewise of an operation on the bytes of a file."""

    method: str
    path: str
    operation: FileOperation


ROUTES: Final = (
    Route("POST", "/2.0/mlflow/experiments/create", experiments.create),
    Route("POST", "/2.0/mlflow/experiments/search", experiments.search),
    Route("GET", "/2.0/mlflow/experiments/search", experiments.search),
    Route("GET", "/2.0/mlflow/experiments/get", experiments.get),
    Route("GET", "/2.0/mlflow/experiments/get-by-name", experiments.get_by_name),
    Route("POST", "/2.0/mlflow/experiments/delete", experiments.delete),
    Route("POST", "/2.0/mlflow/experiments/restore", experiments.restore),
    Route("POST", "/2.0/mlflow/experiments/update", experiments.rename),
    Route("POST", "/2.0/mlflow/experiments/set-experiment-tag", experiments.set_tag),
    Route("POST", "/2.0/mlflow/experiments/delete-experiment-tag", experiments.delete_tag),
    Route("POST", "/2.0/mlflow/runs/create", runs.create),
    Route("GET", "/2.0/mlflow/runs/get", runs.get),
    Route("POST", "/2.0/mlflow/runs/update", runs.update),
    Route("POST", "/2.0/mlflow/runs/delete", runs.delete),
    Route("POST", "/2.0/mlflow/runs/restore", runs.restore),
    Route("POST", "/2.0/mlflow/runs/search", runs.search),
    Route("POST", "/2.0/mlflow/runs/log-metric", runs.log_metric),
    Route("POST", "/2.0/mlflow/runs/log-parameter", runs.log_param),
    Route("POST", "/2.0/mlflow/runs/set-tag", runs.set_tag),
    Route("POST", "/2.0/mlflow/runs/delete-tag", runs.delete_tag),
    Route("POST", "/2.0/mlflow/runs/log-batch", runs.log_batch),
    Route("POST", "/2.0/mlflow/runs/log-model", runs.log_model),
    Route("POST", "/2.0/mlflow/runs/log-inputs", inputs.log_inputs),
    Route("POST", "/2.0/mlflow/runs/outputs", inputs.log_outputs),
    Route("GET", "/2.0/mlflow/metrics/get-history", metrics.get_history),
    Route("GET", "/2.0/mlflow/metrics/get-history-bulk-interval", metrics.get_history_in_bulk),
    Route("POST", "/2.0/mlflow/logged-models", logged_models.create),
    Route("POST", "/2.0/mlflow/logged-models/search", logged_models.search),
    Route("GET", "/2.0/mlflow/logged-models/{model_id}", logged_models.get),
    Route("PATCH", "/2.0/mlflow/logged-models/{model_id}", logged_models.finalize),
    Route("DELETE", "/2.0/mlflow/logged-models/{model_id}", logged_models.delete),
    Route("PATCH", "/2.0/mlflow/logged-models/{model_id}/tags", logged_models.set_tags),
    Route("DELETE", "/2.0/mlflow/logged-models/{model_id}/tags/{tag_key}", logged_models.delete_tag),
    Route("POST", "/2.0/mlflow/logged-models/{model_id}/params", logged_models.log_params),
    Route("POST", "/2.0/mlflow/registered-models/create", registered_models.create),
    Route("GET", "/2.0/mlflow/registered-models/get", registered_models.get),
    Route("PATCH", "/2.0/mlflow/registered-models/update", registered_models.update),
    Route("POST", "/2.0/mlflow/registered-models/rename", registered_models.rename),
    Route("DELETE", "/2.0/mlflow/registered-models/delete", registered_models.delete),
    Route("GET", "/2.0/mlflow/registered-models/search", registered_models.search),
    Route("GET", "/2.0/mlflow/registered-models/get-latest-versions", registered_models.get_latest_versions),
    Route("POST", "/2.0/mlflow/registered-models/get-latest-versions", registered_models.get_latest_versions),
    Route("POST", "/2.0/mlflow/registered-models/set-tag", registered_models.set_tag),
    Route("DELETE", "/2.0/mlflow/registered-models/delete-tag", registered_models.delete_tag),
    Route("POST", "/2.0/mlflow/registered-models/alias", registered_models.set_alias),
    Route("DELETE", "/2.0/mlflow/registered-models/alias", registered_models.delete_alias),
    Route("GET", "/2.0/mlflow/registered-models/alias", model_versions.get_by_alias),
    Route("POST", "/2.0/mlflow/model-versions/create", model_versions.create),
    Route("GET", "/2.0/mlflow/model-versions/get", model_versions.get),
    Route("PATCH", "/2.0/mlflow/model-versions/update", model_versions.update),
    Route("POST", "/2.0/mlflow/model-versions/transition-stage", model_versions.transition),
    Route("DELETE", "/2.0/mlflow/model-versions/delete", model_versions.delete),
    Route("GET", "/2.0/mlflow/model-versions/search", model_versions.search),
    Route("GET", "/2.0/mlflow/model-versions/get-download-uri", model_versions.get_download_uri),
    Route("POST", "/2.0/mlflow/model-versions/set-tag", model_versions.set_tag),
    Route("DELETE", "/2.0/mlflow/model-versions/delete-tag", model_versions.delete_tag),
    Route("POST", "/2.0/mlflow/webhooks", webhooks.create),
    Route("GET", "/2.0/mlflow/webhooks", webhooks.list_all),
    Route("GET", "/2.0/mlflow/webhooks/{webhook_id}", webhooks.get),
    Route("PATCH", "/2.0/mlflow/webhooks/{webhook_id}", webhooks.update),
    Route("DELETE", "/2.0/mlflow/webhooks/{webhook_id}", webhooks.delete),
    Route("POST", "/2.0/mlflow/webhooks/{webhook_id}/test", webhooks.test),
    Route("GET", "/2.0/mlflow/artifacts/list", artifacts.list_of_run),
    Route("GET", "/2.0/mlflow/logged-models/{model_id}/artifacts/directories", artifacts.list_of_logged_model),
    Route("POST", "/2.0/mlflow/artifacts/presigned-upload-url", artifacts.presigned_upload),
    Route("POST", "/2.0/mlflow/artifacts/presigned-download-url", artifacts.presigned_download),
    Route("GET", "/2.0/mlflow-artifacts/artifacts", artifacts.list_files),
    FileRoute("GET", "/2.0/mlflow-artifacts/artifacts/{artifact_path}", artifacts.download),
    FileRoute("PUT", "/2.0/mlflow-artifacts/artifacts/{artifact_path}", artifacts.upload),
    Route("DELETE", "/2.0/mlflow-artifacts/artifacts/{artifact_path}", artifacts.delete),
    Route("GET", "/2.0/mlflow-artifacts/presigned/{artifact_path}", artifacts.presigned_link),
    Route("POST", "/2.0/mlflow-artifacts/mpu/create/{artifact_path}", multipart.create),
    Route("POST", "/2.0/mlflow-artifacts/mpu/complete/{artifact_path}", multipart.complete),
    Route("POST", "/2.0/mlflow-artifacts/mpu/abort/{artifact_path}", multipart.abort),
)

_WHOLE_PATH: Final = "artifact_path"


def _pattern(path: str) -> re.Pattern[str]:
    def part(found: re.Match[str]) -> str:
        return f"(?P<{found[1]}>{'.+' if found[1] == _WHOLE_PATH else '[^/]+'})"

    return re.compile(re.sub(r"\\{(\w+)\\}", part, re.escape(path)), re.DOTALL)


_FIXED: Final = {(route.method, route.path): route for route in ROUTES if "{" not in route.path}
_VARYING: Final = [(route, _pattern(route.path)) for route in ROUTES if "{" in route.path]


def find(method: str, path: str) -> tuple[Route | FileRoute, Mapping[str, str]] | None:
    """The route of a request, with the parts of its path that vary; None if there is none."""
    fixed = _FIXED.get((method, path))
    if fixed is not None:
        return fixed, {}
    for route, pattern in _VARYING:
        if route.method == method and (match := pattern.fullmatch(path)) is not None:
            return route, match.groupdict()
    return None
