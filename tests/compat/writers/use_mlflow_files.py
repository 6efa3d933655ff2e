"""What scripts do with files and models by MLflow's own client, against whatever tracking URI they are given."""

import hashlib
import os
import random
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import mlflow
import numpy as np
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact import http_artifact_repo
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from serving import serve

os.environ["GIT_PYTHON_REFRESH"] = "quiet"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"


def files(uri: str) -> dict[str, Any]:
    """Files, folders, texts and figures of a run: logged, listed, downloaded, deleted."""
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("files")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "folder")
        (folder / "sub dir").mkdir(parents=True)
        (folder / "a.txt").write_text("a")
        (folder / "sub dir" / "ünï.bin").write_bytes(bytes(range(256)))
        (folder / "empty").touch()
        with mlflow.start_run() as run:
            mlflow.log_artifact(str(folder / "a.txt"))
            mlflow.log_artifact(str(folder / "a.txt"), artifact_path="deep/down")
            mlflow.log_artifacts(str(folder), artifact_path="all")
            mlflow.log_text("text", "texts/note.txt")
            mlflow.log_dict({"k": [1, 2]}, "config.json")
            mlflow.log_image(np.zeros((4, 4, 3), dtype=np.uint8), "black.png")
            mlflow.log_table({"x": [1, 2], "y": ["a", "b"]}, "table.json")
        run_id = run.info.run_id
        client = MlflowClient()
        listed = [[f.path, f.is_dir, f.file_size] for f in client.list_artifacts(run_id)]
        back = Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="all", dst_path=temporary))
        downloaded = {
            str(file.relative_to(back)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(back.rglob("*"))
            if file.is_file()
        }
        sent = {
            str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }
        missing = ""
        try:
            mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="absent")
        except MlflowException as error:
            missing = type(error).__name__
        texts = mlflow.artifacts.load_text(f"runs:/{run_id}/texts/note.txt")
        table = mlflow.load_table("table.json", run_ids=[run_id])["y"].tolist()
        get_artifact_repository(run.info.artifact_uri).delete_artifacts("all")
        left = [f.path for f in client.list_artifacts(run_id)]
        below = [f.path for f in client.list_artifacts(run_id, "deep")]
    return {
        "run": run_id,
        "listed": [entry for entry in listed if entry[0] not in ("black.png", "table.json")],
        "same": sent == downloaded,
        "count": len(downloaded),
        "missing": missing,
        "text": texts,
        "table": table,
        "left": left,
        "below": below,
    }


def models(uri: str) -> dict[str, Any]:
    """A model that is really trained: logged with its signature, registered, given an alias, loaded back, asked."""
    from sklearn.datasets import make_classification
    from sklearn.linear_model import LogisticRegression

    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    mlflow.set_experiment("models")
    features, labels = make_classification(n_samples=80, n_features=5, random_state=3)
    model = LogisticRegression().fit(features, labels)
    expected = model.predict(features).tolist()
    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(
            model,
            name="classifier",
            input_example=features[:2],
            registered_model_name="reader",
            pip_requirements=["scikit-learn"],
            metadata={"team": "vision"},
        )
    client = MlflowClient()
    client.set_registered_model_alias("reader", "production", "1")
    version = client.get_model_version_by_alias("reader", "production")
    answers = {}
    for name, place in {
        "alias": "models:/reader@production",
        "version": "models:/reader/1",
        "logged": info.model_uri,
        "run": f"runs:/{run.info.run_id}/classifier",
    }.items():
        answers[name] = mlflow.sklearn.load_model(place).predict(features).tolist() == expected
    loaded = mlflow.pyfunc.load_model("models:/reader@production")
    answers["pyfunc"] = loaded.predict(features).tolist() == expected
    logged = client.get_logged_model(info.model_id)
    return {
        "answers": answers,
        "version": [version.version, version.run_id == run.info.run_id, version.status],
        "model": [logged.name, str(logged.status), logged.source_run_id == run.info.run_id],
        "signature": [len(loaded.metadata.signature.inputs.inputs), loaded.metadata.metadata],
        "files": sorted(f.path for f in client.list_logged_model_artifacts(info.model_id)),
        "run": run.info.run_id,
        "registered": [v.version for v in client.search_model_versions("name = 'reader'")],
    }


def large(uri: str, size: int, *, direct: bool = False) -> dict[str, Any]:
    """One large file up and down. If direct, the client may move it past the server; says how many parts it moved so."""
    for variable in ("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"):
        os.environ[variable] = str(direct).lower()
    os.environ["MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE"] = str(size)
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("large")
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as watched:
        put = watched.enter_context(mock.patch.object(requests, "put", wraps=requests.put))
        get = watched.enter_context(
            mock.patch.object(http_artifact_repo, "download_chunk", wraps=http_artifact_repo.download_chunk)
        )
        file = Path(temporary, "large.bin")
        chance = random.Random(size)
        with file.open("wb") as opened:
            for _ in range(size // 1_000_000):
                opened.write(chance.randbytes(1_000_000))
        with mlflow.start_run() as run:
            mlflow.log_artifact(str(file), "in/deep")
        back = mlflow.artifacts.download_artifacts(
            run_id=run.info.run_id, artifact_path="in/deep/large.bin", dst_path=str(Path(temporary, "back"))
        )
        digests = [hashlib.sha256(Path(one).read_bytes()).hexdigest() for one in (str(file), back)]
    return {"same": digests[0] == digests[1], "parts_up": put.call_count, "parts_down": get.call_count}


def many(uri: str, count: int) -> dict[str, Any]:
    """Many small files in one folder, up and down."""
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("many")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "folder")
        folder.mkdir()
        for number in range(count):
            (folder / f"{number:05}.txt").write_text(f"content {number}")
        with mlflow.start_run() as run:
            started_s = time.perf_counter()
            mlflow.log_artifacts(str(folder), "many")
            up_s = time.perf_counter() - started_s
        started_s = time.perf_counter()
        back = Path(
            mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="many", dst_path=temporary)
        )
        down_s = time.perf_counter() - started_s
        same = all(file.read_text() == f"content {int(file.stem)}" for file in back.iterdir())
        found = len(list(back.iterdir()))
    return {"same": same, "count": found, "up_files_s": count / up_s, "down_files_s": count / down_s}


def refused(uri: str) -> dict[str, Any]:
    """A file that fits into no quota, and one below a file: the error says so, at once."""
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("refused")
    errors = {}
    with tempfile.TemporaryDirectory() as temporary, mlflow.start_run():
        file = Path(temporary, "file")
        file.write_bytes(bytes(3_000_000))
        for name, path in (("quota", None), ("path", "f")):
            try:
                mlflow.log_artifact(str(file), path)
            except Exception as error:
                errors[name] = str(error)
            if name == "quota":
                mlflow.log_text("x", "f")
    return errors


serve({"files": files, "models": models, "large": large, "many": many, "refused": refused})
