"""Versions of models and the versions of artifacts that they name: what is named stays."""

from pathlib import Path
from typing import Any

import pytest
from support.training import eventually

from penstock.api.registry.v1 import registry_service_pb2
from penstock.errors import Conflict, InvalidInput, NotFound

pytestmark = pytest.mark.usefixtures("home")


def put(project: Any, folder: Path, content: bytes = b"weights") -> Any:
    (folder / "model.bin").write_bytes(content)
    return project.client.put_artifact("net", folder / "model.bin", project=project.id, type="model")


def test_files_that_a_model_names_are_not_deleted(project: Any, tmp_path: Path) -> None:
    client, name = project.client, project.id
    artifact = put(project, tmp_path)
    first = client.register_version("reader", project=name, artifact_version=artifact.name)
    second = client.register_version("reader", project=name, artifact_version=artifact.name)
    # What the artifact service says of it is filled in.
    assert (first.artifact_manifest, first.size_bytes) == (artifact.manifest, 7)
    for delete in (
        lambda: client.delete_artifact_version(artifact.name),
        lambda: client.delete_artifact("net", project=name),
    ):
        with pytest.raises(Conflict) as refused:
            delete()
        assert refused.value.reason == "VERSION_HELD"
    for version in (first, second):
        client.registry.DeleteModelVersion(registry_service_pb2.DeleteModelVersionRequest(name=version.name))
    client.delete_artifact_version(artifact.name)
    with pytest.raises(InvalidInput, match="There is no"):
        client.register_version("reader", project=name, artifact_version=artifact.name)


def test_a_deleted_model_lets_its_files_go(project: Any, tmp_path: Path) -> None:
    client, name = project.client, project.id
    artifact = put(project, tmp_path)
    client.register_version("reader", project=name, artifact_version=artifact.name)
    client.registry.DeleteModel(registry_service_pb2.DeleteModelRequest(name=f"projects/{name}/models/reader"))

    def deleted() -> bool:
        try:
            client.delete_artifact("net", project=name)
        except Conflict:
            return False
        return True

    eventually(deleted, "that nobody holds it")


def test_what_is_named_must_be_there_and_be_what_it_is_said_to_be(project: Any, tmp_path: Path) -> None:
    client, name = project.client, project.id
    artifact = put(project, tmp_path)
    with pytest.raises(InvalidInput, match="has the manifest"):
        client.register_version("reader", project=name, artifact_version=artifact.name, artifact_manifest="0" * 64)
    with pytest.raises(InvalidInput, match="There is no"):
        client.register_version("reader", project=name, artifact_version=f"{artifact.name}0")
    # Nothing was registered, and nothing is held for long: not by a model that is not there at all.
    with pytest.raises(NotFound):
        client.registry.CreateModelVersion(
            registry_service_pb2.CreateModelVersionRequest(
                parent=f"projects/{name}/models/nobody", version={"artifact_version": artifact.name}
            )
        )
    client.delete_artifact("net", project=name)
