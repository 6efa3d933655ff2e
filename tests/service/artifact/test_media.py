"""Media of runs: put with key and step, listed by key, step and path, gone with their files."""

from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from support.artifact import PROJECT, RUN, Artifacts, file_of

from penstock.api.artifact.v1 import file_pb2, media_pb2
from penstock_artifact.files import store

MODEL = f"{PROJECT}/loggedModels/m-{'cd' * 16}"
OTHER_RUN = f"{PROJECT}/runs/{'cd' * 16}"
IMAGE, TABLE = media_pb2.MEDIA_KIND_IMAGE, media_pb2.MEDIA_KIND_TABLE


def media_of(path: str, key: str = "samples", step: int = 0, **fields: Any) -> file_pb2.File:
    file = file_of(path, path.encode())
    file.media.CopyFrom(
        media_pb2.Media(**{"key": key, "kind": IMAGE, "step": step, "log_time": Timestamp(seconds=1_000), **fields})
    )
    return file


async def put(artifacts: Artifacts, *files: file_pb2.File, parent: str = RUN) -> list[file_pb2.File]:
    await artifacts.upload(*(file.path.encode() for file in files))
    return list((await artifacts.call("PutFiles", parent=parent, files=files)).files)


async def listed(artifacts: Artifacts, **fields: Any) -> list[str]:
    return [file.path for file in (await artifacts.call("ListMedia", **{"parent": RUN, **fields})).files]


async def keys(artifacts: Artifacts, parent: str = RUN) -> list[tuple[str, int, int]]:
    found = (await artifacts.call("ListMediaKeys", parent=parent)).keys
    return [(one.key, one.kind, one.last_step) for one in found]


async def test_media_are_listed_by_key_step_and_path(any_artifacts: Artifacts) -> None:
    (first, *_) = await put(
        any_artifacts,
        media_of("m/b", step=10, caption="two", rank=3),
        media_of("m/a", step=10),
        media_of("m/c", step=-5),
        media_of("m/d", step=9),
        media_of("m/e", key="a table/x", kind=TABLE, step=2**62),
        file_of("m/f", b"m/f"),
    )
    media = first.media
    assert (media.key, media.kind, media.step, media.log_time.seconds) == ("samples", IMAGE, 10, 1_000)
    assert (media.caption, media.rank) == ("two", 3)
    assert (await any_artifacts.call("GetFile", parent=RUN, path="m/b")).file == first
    assert await listed(any_artifacts, key="samples") == ["m/c", "m/d", "m/a", "m/b"]
    assert await listed(any_artifacts) == ["m/e", "m/c", "m/d", "m/a", "m/b"]
    assert await listed(any_artifacts, descending=True) == ["m/b", "m/a", "m/d", "m/c", "m/e"]
    assert await listed(any_artifacts, key="nothing") == await listed(any_artifacts, parent=OTHER_RUN) == []
    page = await any_artifacts.call("ListMedia", parent=RUN, page_size=3)
    rest = await any_artifacts.call("ListMedia", parent=RUN, page_size=3, page_token=page.next_page_token)
    assert [file.path for file in (*page.files, *rest.files)] == ["m/e", "m/c", "m/d", "m/a", "m/b"]
    assert rest.next_page_token == ""
    assert await keys(any_artifacts) == [("a table/x", TABLE, 2**62), ("samples", IMAGE, 10)]
    # Replaced by what is no media, and deleted: gone from the lists.
    await put(any_artifacts, file_of("m/b", b"m/b"))
    await any_artifacts.call("DeleteFiles", parent=RUN, path="m/e")
    assert await listed(any_artifacts) == ["m/c", "m/d", "m/a"]
    assert await keys(any_artifacts) == [("samples", IMAGE, 10)]


async def test_a_repeat_changes_nothing(artifacts: Artifacts) -> None:
    for _ in range(2):
        await put(artifacts, media_of("m/a", step=1), media_of("m/b", step=2))
    assert await listed(artifacts) == ["m/a", "m/b"]


async def test_limits(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(artifacts, media_of("a", key="k" * 250, caption="x" * 2_000))
    for wrong in ({"key": ""}, {"key": "k" * 251}, {"key": "a\nb"}, {"kind": 0}, {"kind": 99}, {"rank": -1}):
        assert (await artifacts.refused("PutFiles", parent=RUN, files=[media_of("a", **wrong)])).code == (
            grpc.StatusCode.INVALID_ARGUMENT
        ), wrong
    late = media_of("a", log_time=Timestamp(seconds=253_402_300_800))
    for file in (media_of("a", caption="x" * 2_001), late):
        assert (await artifacts.refused("PutFiles", parent=RUN, files=[file])).code == grpc.StatusCode.INVALID_ARGUMENT
    refused = await artifacts.refused("PutFiles", parent=MODEL, files=[media_of("a")])
    assert refused.reason == "FIELD_INVALID"
    monkeypatch.setattr(store, "MEDIA_KEYS_PER_RUN_MAX", 2)
    await put(artifacts, media_of("b", key="b"))
    await artifacts.upload(b"c")
    full = await artifacts.refused("PutFiles", parent=RUN, files=[media_of("c", key="c")])
    assert full.reason == "TOO_MANY_MEDIA_KEYS"
    assert await keys(artifacts) == [("b", IMAGE, 0), ("k" * 250, IMAGE, 0)]
