"""Files of runs and logged models, on MLflow's own server and on ours."""

from typing import Any

import pytest
from support.differential import Pair

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

START_MS = 1_700_000_000_000
FILES = "2.0/mlflow-artifacts/artifacts"
OF_RUN = "<e>/<r>/artifacts"
OF_MODEL = "<e>/models/<net>/artifacts"


def new_run(pair: Pair) -> None:
    pair.post("experiments/create", {"name": f"files {pair.mark}"}, learn={"e": "experiment_id"})
    body = {"experiment_id": "<e>", "run_name": "r", "start_time": START_MS}
    pair.post("runs/create", body, learn={"r": "run.info.run_id"})


def new_model(pair: Pair) -> None:
    pair.post("logged-models", {"experiment_id": "<e>", "name": "net"}, learn={"net": "model.info.model_id"})


def put(pair: Pair, path: str, content: bytes) -> None:
    pair.same("PUT", f"{FILES}/{path}", content)


def listed(pair: Pair, path: str | None = None, **options: Any) -> Any:
    """Lists a path both ways: as a directory of the run, and of all files."""
    query = {"run_id": "<r>"} if path is None else {"run_id": "<r>", "path": path}
    pair.get("artifacts/list", query=query, **options)
    below = OF_RUN if path is None else f"{OF_RUN}/{path}"
    return pair.same("GET", "2.0/mlflow-artifacts/artifacts", query={"path": below}, **options)


def test_files_of_a_run(pair: Pair) -> None:
    new_run(pair)
    assert listed(pair) == {}
    put(pair, f"{OF_RUN}/notes.txt", b"some notes")
    put(pair, f"{OF_RUN}/model/MLmodel", b"flavors: none")
    put(pair, f"{OF_RUN}/model/data/weights.txt", b"w" * 100_000)
    put(pair, f"{OF_RUN}/model-card.md", b"card")
    put(pair, f"{OF_RUN}/empty", b"")
    put(pair, f"{OF_RUN}/dir with blanks/\u00fcn\u00ef code.txt", b"text")
    put(pair, f"{OF_RUN}/notes.txt", b"better notes")
    assert len(listed(pair)["files"]) == 5
    for path in ("model", "model/", "model/data", "dir with blanks", "dir%20with%20blanks", "notes.txt", "absent", ""):
        listed(pair, path)
    for path in (
        "notes.txt",
        "model/MLmodel",
        "model/data/weights.txt",
        "empty",
        "dir with blanks/\u00fcn\u00ef code.txt",
    ):
        pair.same("GET", f"{FILES}/{OF_RUN}/{path}")
    pair.same("GET", f"{FILES}/{OF_RUN}/absent", status=404)
    pair.same("GET", f"{FILES}/{OF_RUN}/model/absent", status=404)
    ours, theirs = pair.both("GET", f"{FILES}/{OF_RUN}/model")
    # FastAPI puts it into another shape.
    assert (ours.status, ours.json["message"]) == (theirs.status, theirs.json["detail"])
    ours, theirs = pair.both("PUT", f"{FILES}/{OF_RUN}/", b"x")
    assert (ours.status, ours.json["message"]) == (theirs.status, theirs.json["detail"])

    pair.same("DELETE", f"{FILES}/{OF_RUN}/notes.txt")
    pair.same("DELETE", f"{FILES}/{OF_RUN}/notes.txt")
    pair.same("GET", f"{FILES}/{OF_RUN}/notes.txt", status=404)
    pair.same("DELETE", f"{FILES}/{OF_RUN}/model")
    listed(pair)
    pair.same("DELETE", f"{FILES}/{OF_RUN}/")
    listed(pair)


def test_a_range_of_a_file(pair: Pair) -> None:
    new_run(pair)
    put(pair, f"{OF_RUN}/f", bytes(range(32, 127)))
    for asked in ("bytes=5-9", "bytes=90-", "bytes=0-1000", "bytes=95-"):
        answers = [
            side.http.get(f"api/{FILES}/{side._filled(OF_RUN)}/f", headers={"Range": asked})
            for side in (pair.ours, pair.theirs)
        ]
        first, second = ((answer.status_code, answer.headers.get("content-range")) for answer in answers)
        assert first == second
        if answers[0].status_code < 400:
            assert answers[0].content == answers[1].content


def test_files_of_a_logged_model(pair: Pair) -> None:
    new_run(pair)
    new_model(pair)
    directories = "logged-models/<net>/artifacts/directories"
    pair.get(directories)
    put(pair, f"{OF_MODEL}/MLmodel", b"flavors: none")
    put(pair, f"{OF_MODEL}/data/weights", b"weights")
    pair.get("logged-models/<net>/artifacts/directories")
    pair.get(directories, query={"artifact_directory_path": "data"})
    pair.get(directories, query={"artifact_directory_path": "absent"})
    pair.get(directories, query={"artifact_directory_path": "../.."}, status=400)
    pair.get(f"logged-models/m-{'0' * 32}/artifacts/directories", status=404)
    pair.same("GET", "2.0/mlflow-artifacts/artifacts", query={"path": f"{OF_MODEL}/data"})
    pair.same("GET", f"{FILES}/{OF_MODEL}/data/weights")


@pytest.mark.parametrize(
    "path",
    ["../x", "a/../../x", "%2e%2e/x", "%252e%252e/x", "a/..", "/etc/passwd", "a#b", "C:\\x", "\\\\host\\share", "C:/x"],
)
def test_a_path_that_leads_elsewhere(pair: Pair, path: str) -> None:
    new_run(pair)
    pair.get("artifacts/list", query={"run_id": "<r>", "path": path}, status=400)
    pair.same("GET", "2.0/mlflow-artifacts/artifacts", query={"path": path}, status=400)


def test_lists_that_are_asked_for_wrongly(pair: Pair) -> None:
    new_run(pair)
    pair.get("artifacts/list", status=400)
    pair.get("artifacts/list", query={"run_id": "0" * 32}, status=404)
    pair.get("artifacts/list", query={"run_uuid": "<r>"})


def test_what_a_store_behind_the_server_cannot(pair: Pair) -> None:
    new_run(pair)
    new_model(pair)
    put(pair, f"{OF_RUN}/f", b"content")
    file = {"path": "f"}
    for body, status in (
        ({"run_id": "<r>", **file}, 400),
        ({"model_id": "<net>", **file}, 400),
        (file, 400),
        ({"run_id": "<r>", "model_id": "<net>", **file}, 400),
        ({"run_id": "<r>"}, 400),
        ({"run_id": "<r>", "path": "../f"}, 400),
        ({"run_id": "0" * 32, **file}, 404),
    ):
        pair.post("artifacts/presigned-upload-url", body, status=status)
    for body, status in (
        ({"run_id": "<r>", **file}, 400),
        ({"run_id": "<r>", "expiration": 0, **file}, 400),
        ({"run_id": "<r>", "expiration": 604_801, **file}, 400),
        ({"run_id": "0" * 32, **file}, 404),
        ({}, 400),
    ):
        pair.post("artifacts/presigned-download-url", body, status=status)
    pair.same("GET", f"2.0/mlflow-artifacts/presigned/{OF_RUN}/f", status=501)
    body = {"path": "f", "num_parts": 2, "upload_id": "1", "parts": [{"part_number": 1, "etag": "e", "url": "u"}]}
    pair.same("POST", f"2.0/mlflow-artifacts/mpu/create/{OF_RUN}", body, status=501)
    pair.same("POST", f"2.0/mlflow-artifacts/mpu/complete/{OF_RUN}", body, status=501)
    pair.same("POST", f"2.0/mlflow-artifacts/mpu/abort/{OF_RUN}", body, status=501)
    pair.same("POST", f"2.0/mlflow-artifacts/mpu/create/{OF_RUN}", {}, status=400)
