"""A version of a model as one file: there and back, and files that are not what they say."""

import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from penstock.api.registry.v1 import model_pb2, registry_service_pb2
from penstock.cli.main import build
from penstock.client.packages import DOCUMENT_BYTES_MAX, read
from penstock.errors import InvalidInput, NotFound

pytestmark = pytest.mark.usefixtures("home")

FILES = {"deep/weights.bin": bytes(range(256)) * 5_000, "same.bin": b"x", "also.bin": b"x", "empty": b""}
VERSION = model_pb2.ModelVersion(
    signature=model_pb2.ModelSignature(inputs=[model_pb2.ModelField(name="x", datatype="FP32", shape=[-1, 64])]),
    flavors=[model_pb2.ModelFlavor(name="onnx", options={"file": "deep/weights.bin"})],
    metrics=[
        model_pb2.ModelMetric(key="acc", slice="country=fr", value=0.5, samples=[0.25, 0.75]),
        model_pb2.ModelMetric(key="worst", value=math.inf),
    ],
    datasets=[model_pb2.ModelDataset(name="digits", digest="d1", context="training")],
    tags={"team": "vision"},
    description="Reads digits.",
    size_bytes=7,
)
BASELINE = model_pb2.ModelBaseline(features=[model_pb2.FeatureBaseline(name="x", edges=[0, 0.5, 1], counts=[3, 4])])
MOVED = ("signature", "flavors", "metrics", "datasets", "tags", "description", "size_bytes", "artifact_manifest")


@pytest.fixture
def exported(project: Any, tmp_path: Path) -> Path:
    """`reader/1`, which a run made and `production` points to, with files and a reference."""
    client, name = project.client, project.id
    for path, content in FILES.items():
        (tmp_path / "model" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / path).write_bytes(content)
    run = project.new_run()
    artifact = client.put_artifact(
        "net", tmp_path / "model", project=name, type="model", references={"train": "s3://b/train"}, run=run
    )
    client.register_version(
        "reader",
        VERSION,
        project=name,
        run=run,
        artifact_manifest=artifact.manifest,
        artifact_version=artifact.name,
        baseline=BASELINE,
    )
    client.set_alias("reader", "production", 1, project=name)
    file = tmp_path / "reader.zip"
    package = client.export_model_version("reader@production", file, project=name)
    assert package.origin["version"] == f"projects/{name}/models/reader/versions/1"
    return file


def test_there_and_back(project: Any, exported: Path, tmp_path: Path) -> None:
    client, name = project.client, project.id
    client.create_project(f"{name}-there")
    there = f"{name}-there"
    before = client.model_version("reader/1", project=name)
    made = client.import_model_version(exported, project=there)
    assert made.name == f"projects/{there}/models/reader/versions/1"
    assert [getattr(made, field) for field in MOVED] == [getattr(before, field) for field in MOVED]
    assert (made.run, made.aliases) == ("", [])
    assert made.run_link.endswith(f"/{before.run}")
    request = registry_service_pb2.GetModelBaselineRequest(name=made.name)
    assert client.registry.GetModelBaseline(request).baseline == BASELINE
    assert made.artifact_version == f"projects/{there}/artifacts/net/versions/1"
    client.get_artifact(made.artifact_version, tmp_path / "back")
    assert {path: (tmp_path / "back" / path).read_bytes() for path in FILES} == FILES
    entries = {entry.path: entry for entry in client.artifact_entries(made.artifact_version)}
    assert entries["train"].reference.uri == "s3://b/train"
    # Nothing is left beside the files.
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["reader.zip"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".reader")]


def test_a_repeat_finds_what_was_imported(project: Any, exported: Path) -> None:
    client, name = project.client, project.id
    first = client.import_model_version(exported, project=name, model="other", artifact="files")
    again = client.import_model_version(exported, project=name, model="other", artifact="files")
    assert (first.name, again.name) == (f"projects/{name}/models/other/versions/1", first.name)
    client.registry.DeleteModelVersion(registry_service_pb2.DeleteModelVersionRequest(name=first.name))
    assert client.import_model_version(exported, project=name, model="other", artifact="files").number == 2
    assert client.model_version("other/2", project=name).artifact_version.endswith("/artifacts/files/versions/1")


def test_a_version_without_files(project: Any, tmp_path: Path) -> None:
    client, name = project.client, project.id
    client.register_version("elsewhere", project=name, source_uri="s3://models/reader.onnx")
    client.export_model_version("elsewhere/1", tmp_path / "e.zip", project=name)
    made = client.import_model_version(tmp_path / "e.zip", project=name, model="copy")
    assert (made.source_uri, made.artifact_version) == ("s3://models/reader.onnx", "")
    client.register_version("unread", project=name, artifact_manifest="0" * 64)
    with pytest.raises(InvalidInput, match="could be read"):
        client.export_model_version("unread/1", tmp_path / "u.zip", project=name)
    with pytest.raises(InvalidInput, match="exists"):
        client.export_model_version("elsewhere/1", tmp_path / "e.zip", project=name)
    with pytest.raises(NotFound):
        client.export_model_version("elsewhere/2", tmp_path / "n.zip", project=name)
    assert not (tmp_path / "n.zip").exists()


def test_the_command_line(project: Any, exported: Path, tmp_path: Path) -> None:
    def said(*args: str) -> Any:
        result = CliRunner().invoke(build(), [*args, "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    told = said("model", "export", "reader@production", "-p", project.id)
    assert (told["file"], told["files"]) == ("reader-1.zip", 4)
    # What is the same makes the same file, but for when it was made.
    assert read(tmp_path / "reader-1.zip").digest == read(exported).digest
    made = said("model", "import", "reader-1.zip", "-p", project.id, "--model", "copy")
    assert (made["model"], made["version"]) == ("copy", 1)
    refused = CliRunner().invoke(build(), ["model", "export", "reader/1", "-p", project.id])
    assert (refused.exit_code != 0, "exists" in refused.output) == (True, True)


def rewritten(file: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None], **options: Any) -> Path:
    """The file with its document and its members changed."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    document = json.loads(members.pop("model-version.json"))
    change(document, members)
    other = file.with_name("other.zip")
    with zipfile.ZipFile(other, "w", **options) as archive:
        archive.writestr("model-version.json", json.dumps(document))
        for name, content in members.items():
            archive.writestr(name, content)
    return other


def _flip(document: dict[str, Any], members: dict[str, bytes]) -> None:
    members["files/deep/weights.bin"] = b"\1" + members["files/deep/weights.bin"][1:]


def _shorten(document: dict[str, Any], members: dict[str, bytes]) -> None:
    members["files/deep/weights.bin"] = members["files/deep/weights.bin"][1:]


def _lose(document: dict[str, Any], members: dict[str, bytes]) -> None:
    del members["files/empty"]


def _climb(document: dict[str, Any], members: dict[str, bytes]) -> None:
    document["artifact"]["entries"][0]["path"] = "../../evil"
    members["files/../../evil"] = members["files/also.bin"]


def _climb_by_digest(document: dict[str, Any], members: dict[str, bytes]) -> None:
    (entry,) = (entry for entry in document["artifact"]["entries"] if entry["path"] == "deep/weights.bin")
    entry["file"]["blob"]["sha256"] = "../evil"


def _other_project(document: dict[str, Any], members: dict[str, bytes]) -> None:
    document["artifact"]["name"] = "projects/default/artifacts/net"


def _other_model(document: dict[str, Any], members: dict[str, bytes]) -> None:
    document["model"] = "projects/default/models/reader"


def _other_format(document: dict[str, Any], members: dict[str, bytes]) -> None:
    document["format_version"] = 2


def _wrong_manifest(document: dict[str, Any], members: dict[str, bytes]) -> None:
    document["artifact"]["manifest"] = "0" * 64


def _nonsense(document: dict[str, Any], members: dict[str, bytes]) -> None:
    document["version"] = {"signature": 3}


def _huge_document(document: dict[str, Any], members: dict[str, bytes]) -> None:
    document["version"]["description"] = " " * DOCUMENT_BYTES_MAX


def _too_many(document: dict[str, Any], members: dict[str, bytes]) -> None:
    members |= {f"files/more/{number}": b"" for number in range(20_001)}


def test_files_that_are_not_what_they_say(project: Any, exported: Path) -> None:
    changes = [
        _flip,
        _shorten,
        _lose,
        _climb,
        _climb_by_digest,
        _other_project,
        _other_model,
        _other_format,
        _wrong_manifest,
    ]
    for change in [*changes, _nonsense, _huge_document, _too_many]:
        other = rewritten(exported, change)
        with pytest.raises(InvalidInput) as refused:
            project.client.import_model_version(other, project=project.id, model="imported", artifact="imported")
        assert refused.value.reason == "PACKAGE_INVALID", change
    with pytest.raises(NotFound):
        project.client.model("imported", project=project.id)
    assert not list(exported.parents[1].rglob("evil"))


def test_bombs(project: Any, exported: Path) -> None:
    def nothing(document: dict[str, Any], members: dict[str, bytes]) -> None:
        return

    with pytest.raises(InvalidInput, match="compressed"):
        read(rewritten(exported, nothing, compression=zipfile.ZIP_DEFLATED))
    # Many names for the same bytes of the archive.
    other = rewritten(exported, nothing)
    with zipfile.ZipFile(other, "a") as archive:
        large = archive.getinfo("files/deep/weights.bin")
        for number in range(3):
            member = zipfile.ZipInfo(f"files/{number}")
            member.header_offset, member.CRC = large.header_offset, large.CRC
            member.file_size = member.compress_size = large.file_size
            archive.filelist.append(member)
            archive.NameToInfo[member.filename] = member
            archive._didModify = True  # type: ignore[attr-defined]  # no call of the library makes such an archive
    with pytest.raises(InvalidInput, match="larger than itself"):
        read(other)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\3\4" + bytes(100)])
def test_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(InvalidInput, match="model export"):
        read(tmp_path / "x.zip")


def test_cut_off(exported: Path) -> None:
    exported.write_bytes(exported.read_bytes()[:-1_000])
    with pytest.raises(InvalidInput, match="model export"):
        read(exported)
