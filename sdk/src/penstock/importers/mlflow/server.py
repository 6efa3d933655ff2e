"""A tracking server of MLflow, or anything else that speaks its REST API.

Credentials are taken as MLflow's client takes them: `MLFLOW_TRACKING_TOKEN`, or `MLFLOW_TRACKING_USERNAME` and
`MLFLOW_TRACKING_PASSWORD`, or within the address.
"""

import base64
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode, urlsplit

from penstock.config import is_loopback
from penstock.errors import AuthenticationFailed, InvalidInput, NotFound, ServerUnavailable
from penstock.importers.mlflow.records import LoggedModel, MlflowRun, number_of, places_of, source_run
from penstock.importers.model import Readable, Row, SourceDamaged, SourceEntry, SourceFile, SourceRun

__all__ = ["MlflowServer"]

TIMEOUT_S: Final = 60.0
ANSWER_BYTES_MAX: Final = 256 * 1024 * 1024
RUNS_PER_PAGE: Final = 1_000
POINTS_PER_PAGE: Final = 25_000
"""The most that MLflow hands out at a time."""
EXPERIMENTS_PER_SEARCH: Final = 100


class MlflowServer:
    """A tracking server.

    Args:
        uri: Its address, `http://` or `https://`.
    """

    tool = "mlflow"

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        if not parts.hostname:
            raise InvalidInput(f"{uri!r} is not the address of a server.")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.location = f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path.rstrip('/')}"
        self._headers = {"Content-Type": "application/json", **_authorization(parts.username, parts.password)}
        proxies: list[urllib.request.BaseHandler] = (
            [urllib.request.ProxyHandler({})] if is_loopback(self.location) else []
        )
        self._opener = urllib.request.build_opener(*proxies, _NoRedirects)

    def entries(self) -> Sequence[SourceEntry]:
        """See `Source`. Raises `ServerUnavailable`, `AuthenticationFailed` too."""
        names = {
            found["experiment_id"]: str(found.get("name", ""))
            for found in self._pages("POST", "experiments/search", {"max_results": RUNS_PER_PAGE}, "experiments")
        }
        ids = list(names)
        found: list[SourceEntry] = []
        for first in range(0, len(ids), EXPERIMENTS_PER_SEARCH):
            search = {
                "experiment_ids": ids[first : first + EXPERIMENTS_PER_SEARCH],
                "run_view_type": "ACTIVE_ONLY",
                "max_results": RUNS_PER_PAGE,
                "order_by": ["attributes.start_time ASC"],
            }
            for run in self._pages("POST", "runs/search", search, "runs"):
                run_id = str(run["info"]["run_id"])
                experiment = names.get(run["info"].get("experiment_id"), "")
                found.append(SourceEntry(run_id, partial(self._run, run_id, experiment)))
        if not found:
            raise NotFound(f"The server at {self.location} holds no run that is in use.", reason="SOURCE_EMPTY")
        return found

    def _run(self, run_id: str, experiment: str) -> SourceRun:
        answer = self._call("GET", "runs/get", {"run_id": run_id})
        try:
            info, data = answer["run"]["info"], answer["run"].get("data", {})
            run = MlflowRun(
                run_id,
                experiment,
                str(info.get("run_name") or ""),
                str(info.get("status", "")),
                int(info.get("start_time") or 0),
                int(info["end_time"]) if info.get("end_time") else None,
                {param["key"]: param.get("value", "") for param in data.get("params", ())},
                {tag["key"]: tag.get("value", "") for tag in data.get("tags", ())},
                str(info.get("artifact_uri") or ""),
            )
            metrics = [metric["key"] for metric in data.get("metrics", ())]
        except (KeyError, TypeError, ValueError, AttributeError):
            raise SourceDamaged(
                f"The server at {self.location} says of the run {run_id} what cannot be read."
            ) from None
        outputs = answer["run"].get("outputs") or {}
        models = [str(output.get("model_id", "")) for output in outputs.get("model_outputs", ())]
        return source_run(run, metrics, partial(self._rows, run_id), partial(self._files, run_id, models))

    def _rows(self, run_id: str, key: str) -> Iterator[Row]:
        asked = {"run_id": run_id, "metric_key": key, "max_results": POINTS_PER_PAGE}
        for metric in self._pages("GET", "metrics/get-history", asked, "metrics"):
            # Protobuf leaves zeros out, and writes int64, NaN and the infinities as strings.
            value = number_of(float(metric.get("value", 0.0)))
            yield Row(int(metric.get("step", 0)), int(metric.get("timestamp", 0)) * 1000, {key: value})

    def _files(self, run_id: str, model_ids: Sequence[str]) -> Iterator[SourceFile]:
        """The files of a run, then those of the models that it logged."""
        seen: set[str] = set()
        # By the ways that MLflow's own pages take: wherever the server keeps the files.
        content = f"/get-artifact?run_uuid={quote(run_id, safe='')}&path="
        yield from self._listed("artifacts/list", {"run_id": run_id}, "path", content, "", seen)
        for place, model in places_of([self._model(model_id) for model_id in model_ids]):
            path = f"logged-models/{quote(model.model_id, safe='')}"
            content = f"/ajax-api/2.0/mlflow/{path}/artifacts/files?artifact_file_path="
            listing = f"{path}/artifacts/directories"
            yield from self._listed(listing, {}, "artifact_directory_path", content, f"{place}/", seen)

    def _model(self, model_id: str) -> LoggedModel:
        info = self._call("GET", f"logged-models/{quote(model_id, safe='')}", {})["model"]["info"]
        return LoggedModel(int(info.get("creation_timestamp_ms") or 0), model_id, str(info["name"]), "")

    def _listed(
        self, listing: str, asked: Mapping[str, str], parameter: str, content: str, prefix: str, seen: set[str]
    ) -> Iterator[SourceFile]:
        """The files of a folder and of those in it, but those that were seen.

        Args:
            listing: The operation that lists a folder.
            asked: What it is asked beside the folder.
            parameter: How it calls the folder.
            content: The beginning of the address of a file, which ends with its path.
            prefix: What the paths of the files begin with here.
            seen: Takes the paths.
        """
        folders = [""]
        while folders:
            folder = folders.pop()
            for found in self._pages("GET", listing, {**asked, **({parameter: folder} if folder else {})}, "files"):
                path = str(found.get("path", ""))
                if found.get("is_dir"):
                    # A folder within itself would have no end.
                    if path.startswith(f"{folder}/" if folder else "") and len(path) > len(folder):
                        folders.append(path)
                elif f"{prefix}{path}" not in seen:
                    seen.add(f"{prefix}{path}")
                    # Protobuf leaves out the size of an empty file.
                    size = int(found.get("file_size") or 0)
                    opened = partial(self._opened, f"{content}{quote(path, safe='')}")
                    yield SourceFile(f"{prefix}{path}", opened, size, size_tells=True)

    def _opened(self, path: str) -> Readable:
        """The content of a file."""
        request = urllib.request.Request(f"{self.location}{path}", headers=self._headers)  # noqa: S310 - http(s) only
        try:
            return self._opener.open(request, timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(path.partition("?")[0], error) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._silent(error) from None

    def _pages(self, method: str, path: str, asked: Mapping[str, Any], name: str) -> Iterator[Any]:
        token = ""
        while True:
            answer = self._call(method, path, {**asked, **({"page_token": token} if token else {})})
            yield from answer.get(name, ())
            token = answer.get("next_page_token", "")
            if not token:
                return

    def _call(self, method: str, path: str, content: Mapping[str, Any]) -> dict[str, Any]:
        url = f"{self.location}/api/2.0/mlflow/{path}"
        body = None
        if method == "GET":
            url = f"{url}?{urlencode(content)}"
        else:
            body = json.dumps(content).encode()
        request = urllib.request.Request(url, data=body, headers=self._headers, method=method)  # noqa: S310 - http(s) only
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as response:
                answer = json.loads(response.read(ANSWER_BYTES_MAX))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(path, error) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._silent(error) from None
        except ValueError:
            raise self._not_mlflow() from None
        if not isinstance(answer, dict):
            raise self._not_mlflow()
        return answer

    def _refused(self, path: str, error: urllib.error.HTTPError) -> Exception:
        if error.code in (401, 403):
            return AuthenticationFailed(
                f"The MLflow server at {self.location} asks who you are ({error.code}). Set MLFLOW_TRACKING_TOKEN, or "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
            )
        try:
            message = str(json.loads(error.read(65_536))["message"])
        except (ValueError, KeyError, TypeError, OSError):
            if error.code == 404:
                return self._not_mlflow()
            message = f"HTTP {error.code}"
        if error.code >= 500:
            return ServerUnavailable(f"The MLflow server at {self.location} failed at {path}: {message[:300]}")
        return SourceDamaged(f"The MLflow server at {self.location} refused {path}: {message[:300]}")

    def _silent(self, error: Exception) -> Exception:
        why = getattr(error, "reason", error)
        return ServerUnavailable(f"The MLflow server at {self.location} does not answer: {why}.")

    def _not_mlflow(self) -> Exception:
        return ServerUnavailable(
            f"What listens at {self.location} is not a tracking server of MLflow.", reason="NOT_MLFLOW"
        )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Credentials go where the user said, and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _authorization(user: str | None, password: str | None) -> dict[str, str]:
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    user = unquote(user) if user else os.environ.get("MLFLOW_TRACKING_USERNAME")
    password = unquote(password) if password else os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    if user:
        return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}
    return {"Authorization": f"Bearer {token}"} if token else {}
