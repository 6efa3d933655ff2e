"""Files and models by MLflow's unmodified client: what a script logs is there, listed, loaded back, and predicts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.importing import Peer
from support.platform import Platform, running_platform

from penstock.client import Client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCRIPT = Path(__file__).parent / "writers" / "use_mlflow_files.py"
LARGE_BYTES = 200_000_000


@pytest.fixture(scope="module")
def script(peers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with Peer(peers, SCRIPT, tmp_path_factory.mktemp("mlflow-files") / "log") as peer:
        yield peer


@pytest.fixture
def uri(platform: Platform, client: Client, request: pytest.FixtureRequest) -> str:
    """The tracking URI of a project of the test's own."""
    project = request.node.name.removeprefix("test_").replace("_", "-")[:60].rstrip("-")
    client.create_project(project)
    return f"{platform.http}/projects/{project}".replace("http://", f"http://token:{platform.token}@")


def test_files_of_a_run(script: Peer, uri: str) -> None:
    done = script.ask("files", uri=uri)
    assert done["listed"] == [
        ["a.txt", False, 1],
        ["all", True, None],
        ["config.json", False, 29],
        ["deep", True, None],
        ["texts", True, None],
    ]
    assert (done["same"], done["count"]) == (True, 3)
    assert done["missing"]
    assert (done["text"], done["table"]) == ("text", ["a", "b"])
    assert done["left"] == ["a.txt", "black.png", "config.json", "deep", "table.json", "texts"]
    assert done["below"] == ["deep/down"]


def test_a_trained_model_is_logged_registered_loaded_and_asked(script: Peer, uri: str, client: Client) -> None:
    done = script.ask("models", uri=uri)
    assert done["answers"] == dict.fromkeys(("alias", "version", "logged", "run", "pyfunc"), True)
    assert done["version"] == ["1", True, "READY"]
    assert done["model"] == ["classifier", "READY", True]
    assert done["signature"] == [1, {"team": "vision"}]
    assert {"MLmodel", "requirements.txt"} <= set(done["files"])
    assert done["registered"] == ["1"]
    # The version names files that do not change any more, whatever happens to those of the run and the logged model.
    project = uri.rpartition("/")[2]
    version = client.model_version("reader/1", project=project)
    frozen = client.artifact_version(version.artifact_version)
    assert (frozen.manifest, frozen.type) == (version.artifact_manifest, "model")
    assert {entry.path for entry in client.artifact_entries(frozen.name)} >= {"MLmodel", "requirements.txt"}


def test_a_large_file_up_and_down(script: Peer, uri: str) -> None:
    # Where there is no other way, the server is asked for one, and the file passes through it.
    for direct in (False, True):
        done = script.ask("large", uri=uri, size=LARGE_BYTES, direct=direct)
        assert done == {"same": True, "parts_up": 0, "parts_down": 0}


def test_a_large_file_past_the_server(script: Peer, tmp_path: Path) -> None:
    with running_platform(tmp_path, "--stores", "servers") as platform:
        uri = platform.http.replace("http://", f"http://token:{platform.token}@")
        done = script.ask("large", uri=uri, size=LARGE_BYTES, direct=True)
    assert done["same"]
    assert min(done["parts_up"], done["parts_down"]) > 1


def test_many_files_in_one_folder(script: Peer, uri: str) -> None:
    done = script.ask("many", uri=uri, count=300)
    assert (done["same"], done["count"]) == (True, 300)


def test_what_is_refused_is_told(script: Peer, uri: str, client: Client) -> None:
    client.set_artifact_quota(2_000_000, project=uri.rpartition("/")[2])
    errors = script.ask("refused", uri=uri)
    assert "may store 2,000,000" in errors["quota"]
    assert "lies below" in errors["path"]
