"""Lineage: from a dataset to a run to a version of a model and on to who used it, and back."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from penstock.api.registry.v1 import model_pb2
from penstock.api.tracking.v1 import dataset_pb2, tracking_service_pb2
from penstock.cli.main import build
from penstock.errors import NotFound

pytestmark = pytest.mark.usefixtures("home")


def uses(project: Any, run: str, *datasets: tuple[str, str]) -> None:
    project.client.tracking.LogInputs(
        tracking_service_pb2.LogInputsRequest(
            run=run,
            datasets=[
                dataset_pb2.DatasetInput(
                    dataset=dataset_pb2.Dataset(name=name, digest=digest, source="s3://b/train"),
                    tags=[dataset_pb2.DatasetTag(key="mlflow.data.context", value="training")],
                )
                for name, digest in datasets
            ],
        )
    )


def test_from_dataset_to_run_to_version_and_back(project: Any, tmp_path: Path) -> None:
    client, name = project.client, project.id
    (tmp_path / "f").write_bytes(b"data")
    corpus = client.put_artifact("corpus", tmp_path / "f", project=name, type="dataset")
    trained, other, evaluating = (project.new_run() for _ in range(3))
    uses(project, trained, ('my "train" set', "d1"), ("mnist", "d2"))
    uses(project, other, ('my "train" set', "d2"), ("mnist", "d1"))
    client.use_artifact(corpus.name, trained)
    files = client.put_artifact("net", tmp_path / "f", project=name, type="model", run=trained)
    client.use_artifact(files.name, evaluating)
    whole = model_pb2.ModelVersion(datasets=[model_pb2.ModelDataset(name="told", digest="d3")])
    first = client.register_version("reader", whole, project=name, run=trained, artifact_version=files.name)
    second = client.register_version("reader", project=name, run=trained)
    third = client.register_version("writer", project=name, run=other, artifact_version=files.name)
    found = client.lineage("reader/1", project=name)
    assert found.run == trained
    assert [(one.name, one.digest) for one in found.datasets] == [("told", "d3")]
    recorded = {(one.name, one.digest, one.source_uri, one.context) for one in found.run_datasets}
    assert recorded == {
        ('my "train" set', "d1", "s3://b/train", "training"),
        ("mnist", "d2", "s3://b/train", "training"),
    }
    assert (list(found.used_artifacts), list(found.runs_using)) == ([corpus.name], [evaluating])
    assert (list(found.versions_of_run), list(found.versions_of_manifest)) == ([second.name], [third.name])
    # A name and a digest that are of two datasets of the other run are no dataset.
    back = client.dataset_lineage('my "train" set', "d1", project=name)
    assert (list(back.runs), list(back.versions)) == ([trained], [second.name, first.name])
    told = client.dataset_lineage("told", "d3", project=name)
    assert (list(told.runs), list(told.versions)) == ([], [first.name])
    assert not client.dataset_lineage("nobody", "d1", project=name).runs


def test_what_is_gone_is_left_out(project: Any, tmp_path: Path) -> None:
    client, name = project.client, project.id
    client.register_version("reader", project=name, run=f"projects/{name}/runs/{'0' * 32}")
    found = client.lineage("reader/1", project=name)
    assert (found.run.endswith("0" * 32), len(found.run_datasets), len(found.used_artifacts)) == (True, 0, 0)
    with pytest.raises(NotFound):
        client.lineage("reader/2", project=name)


def test_the_command_line(project: Any) -> None:
    run = project.new_run()
    uses(project, run, ("mnist", "d1"))
    project.client.register_version("reader", project=project.id, run=run)
    result = CliRunner().invoke(build(), ["model", "lineage", "reader/1", "-p", project.id, "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["run"], told["run_datasets"][0]["name"]) == (run, "mnist")
    shown = CliRunner().invoke(build(), ["model", "lineage", "reader@latest", "-p", project.id])
    assert "mnist d1" in shown.output
