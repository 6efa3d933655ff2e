"""Previews: what is shown of texts, tables and media, that it is bounded, and that no file harms the service."""

import io
import json
from typing import Any

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.artifact import ARTIFACT, RUN, Artifacts, blob_of
from support.auth import refused

from penstock.api.artifact.v1 import artifact_pb2, preview_pb2
from penstock_artifact.previews import parquet
from penstock_artifact.previews.domain import CELL_CHARS_MAX, COLUMNS_MAX, HEAD_BYTES, ROWS_MAX

Code = grpc.StatusCode
VERSION = f"{ARTIFACT}/versions/1"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


async def preview_of(artifacts: Artifacts, name: str, path: str) -> preview_pb2.FilePreview:
    request = preview_pb2.PreviewFileRequest(name=name, path=path)
    return (await artifacts.stub.PreviewFile(request, metadata=artifacts.metadata(), timeout=20)).preview


async def previewed(artifacts: Artifacts, path: str, content: bytes) -> preview_pb2.FilePreview:
    await artifacts.put({path: content})
    return await preview_of(artifacts, RUN, path)


def parquet_of(columns: dict[str, Any], **options: Any) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target, **options)
    return target.getvalue()


def texts(table: preview_pb2.TablePreview) -> list[list[str | None]]:
    return [[cell.text if cell.HasField("text") else None for cell in row.cells] for row in table.rows]


async def test_files_of_versions_and_runs_are_previewed(any_artifacts: Artifacts) -> None:
    table = parquet_of({"epoch": [1, 2], "loss": [0.5, None], "note": ["a", "ü"]})
    files = {"readme.md": b"# Card\n", "plots/loss.png": PNG, "points.parquet": table, "w.bin": b"\0\1\2"}
    await any_artifacts.publish(files)
    await any_artifacts.put(files)
    for name in (VERSION, f"{ARTIFACT}/versions/latest", RUN):
        previews = {path: await preview_of(any_artifacts, name, path) for path in files}
        assert {path: preview.blob for path, preview in previews.items()} == {
            path: blob_of(content) for path, content in files.items()
        }
        assert previews["readme.md"].text == preview_pb2.TextPreview(text="# Card\n", format="TEXT_FORMAT_MARKDOWN")
        assert previews["plots/loss.png"].media.media_type == "image/png"
        assert previews["w.bin"].WhichOneof("content") is None
        assert previews["w.bin"].problem == ""
        shown = previews["points.parquet"].table
        assert [(column.name, column.type) for column in shown.columns] == [
            ("epoch", "int64"),
            ("loss", "double"),
            ("note", "string"),
        ]
        assert texts(shown) == [["1", "0.5", "a"], ["2", None, "ü"]]
        assert (shown.column_count, shown.row_count) == (3, 2)


async def test_what_is_not_there_or_not_stored_is_refused(artifacts: Artifacts) -> None:
    reference = artifact_pb2.ManifestEntry(path="far", reference=artifact_pb2.ManifestReference(uri="s3://bucket/key"))
    await artifacts.call("PublishArtifactVersion", parent=ARTIFACT, entries=[reference])
    for name, path, code, reason in (
        (VERSION, "far", Code.FAILED_PRECONDITION, "REFERENCE_NOT_STORED"),
        (VERSION, "near", Code.NOT_FOUND, "FILE_NOT_FOUND"),
        (f"{ARTIFACT}/versions/2", "far", Code.NOT_FOUND, "VERSION_NOT_FOUND"),
        (RUN, "../near", Code.NOT_FOUND, "FILE_NOT_FOUND"),
    ):
        refusal = await refused(preview_of(artifacts, name, path))
        assert (refusal.code, refusal.reason) == (code, reason)
    # A reader of another project does not learn that there is such a file.
    request = preview_pb2.PreviewFileRequest(name=VERSION, path="far")
    metadata = artifacts.metadata("users/eve")
    assert (await refused(artifacts.stub.PreviewFile(request, metadata=metadata))).code == Code.PERMISSION_DENIED


async def test_text_ends_at_its_limit_and_not_within_a_character(artifacts: Artifacts) -> None:
    whole = await previewed(artifacts, "whole.log", b"a" * HEAD_BYTES)
    assert (len(whole.text.text), whole.text.truncated) == (HEAD_BYTES, False)
    cut = await previewed(artifacts, "cut.log", b"a" * (HEAD_BYTES - 1) + "ü".encode())
    assert (cut.text.text, cut.text.truncated) == ("a" * (HEAD_BYTES - 1), True)
    assert (await previewed(artifacts, "latin.txt", "ü".encode("latin-1"))).WhichOneof("content") is None
    assert (await previewed(artifacts, "empty.txt", b"")).text.text == ""
    # Half a character at the very end of a file is no text.
    assert (await previewed(artifacts, "half.txt", "ü".encode()[:1])).WhichOneof("content") is None


async def test_json_in_one_line_is_laid_out(artifacts: Artifacts) -> None:
    laid_out = await previewed(artifacts, "a.json", b'{"b":[1,2],"a":"\xc3\xbc"}')
    assert laid_out.text.format == preview_pb2.TEXT_FORMAT_JSON
    assert laid_out.text.text == '{\n  "b": [\n    1,\n    2\n  ],\n  "a": "ü"\n}'
    for path, content in (
        ("written.json", b'{\n    "a": 1}\n'),
        ("broken.json", b'{"a": '),
        ("deep.json", b"[" * 100_000),
        ("deep-closed.json", b"[" * 50_000 + b"]" * 50_000),
        ("grows.json", b"[" + b"[1]," * 60_000 + b"1]"),
        ("digits.json", b"1" * 5_000),
    ):
        assert (await previewed(artifacts, path, content)).text.text == content.decode()


async def test_delimited_tables(artifacts: Artifacts) -> None:
    table = (await previewed(artifacts, "a.csv", b'epoch,note\n1,"a, b"\n\n2\n3,c,more\n')).table
    assert [(column.name, column.type) for column in table.columns] == [("epoch", ""), ("note", "")]
    assert texts(table) == [["1", "a, b"], ["2", None], ["3", "c"]]
    assert (table.column_count, table.row_count) == (2, 3)
    assert texts((await previewed(artifacts, "a.tsv", b"a\tb\n1\t2\n")).table) == [["1", "2"]]
    assert texts((await previewed(artifacts, "b.csv", b"a;b\n1,5;2\n")).table) == [["1,5", "2"]]

    wide = ",".join(f"c{n}" for n in range(COLUMNS_MAX + 1))
    rows = "\n".join(",".join(["x" * (CELL_CHARS_MAX + 1)] * (COLUMNS_MAX + 1)) for _ in range(ROWS_MAX + 1))
    large = (await previewed(artifacts, "large.csv", f"{wide}\n{rows}\n".encode())).table
    assert (len(large.columns), large.column_count) == (COLUMNS_MAX, COLUMNS_MAX + 1)
    assert not large.HasField("row_count")
    assert {len(row.cells) for row in large.rows} == {COLUMNS_MAX}
    assert {len(cell.text) for row in large.rows for cell in row.cells} == {CELL_CHARS_MAX}
    long = (await previewed(artifacts, "long.csv", b"a,b\n" + b"1,2\n" * (ROWS_MAX + 1))).table
    assert (len(long.rows), long.row_count) == (ROWS_MAX, ROWS_MAX + 1)
    # One cell that is longer than Python's reader takes is shown as text.
    assert (await previewed(artifacts, "cell.csv", b'a\n"' + b"x" * 200_000 + b'"')).WhichOneof("content") == "text"
    # A row that was cut off is not shown, and what would be left is text.
    assert (await previewed(artifacts, "row.csv", b"a" * (HEAD_BYTES + 1))).WhichOneof("content") == "text"


@pytest.mark.parametrize(
    ("path", "content", "media_type"),
    [
        ("a", b"\xff\xd8\xff\xe0" + bytes(20), "image/jpeg"),
        ("a", b"GIF89a" + bytes(20), "image/gif"),
        ("a", b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        ("a", b"BM\1\0\0\0\0\0\0\0", "image/bmp"),
        ("a.svg", b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml"),
        ("a", b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        ("a", b"fLaC\0\0", "audio/flac"),
        ("a", b"ID3\3\0\0", "audio/mpeg"),
        ("a", b"OggS\0", "audio/ogg"),
        ("a", b"\0\0\0\x20ftypisom", "video/mp4"),
        ("a", b"\x1aE\xdf\xa3\1", "video/webm"),
    ],
)
async def test_media_are_told_by_their_first_bytes(
    artifacts: Artifacts, path: str, content: bytes, media_type: str
) -> None:
    assert (await previewed(artifacts, path, content)).media.media_type == media_type


async def test_a_name_alone_makes_no_medium(artifacts: Artifacts) -> None:
    page = b"<script>alert(1)</script>"
    assert (await previewed(artifacts, "page.png", page)).text.text == page.decode()
    assert (await previewed(artifacts, "page.svg", page)).text.text == page.decode()
    assert (await previewed(artifacts, "song.txt", b"ID3 is a tag.")).text.text == "ID3 is a tag."


async def test_a_wide_long_and_nested_parquet_file_is_bounded(artifacts: Artifacts) -> None:
    columns: dict[str, Any] = {f"c{n}": ["\U0001f600" * 300] * 1_000 for n in range(COLUMNS_MAX + 1)}
    table = (await previewed(artifacts, "a.parquet", parquet_of(columns))).table
    assert (len(table.columns), table.column_count) == (COLUMNS_MAX, COLUMNS_MAX + 1)
    assert (len(table.rows), table.row_count) == (ROWS_MAX, 1_000)
    assert {cell.text for row in table.rows for cell in row.cells} == {"\U0001f600" * CELL_CHARS_MAX}
    nested = {"box": [{"x": 1, "y": [2, 3]}], "blob": [b"\xff"], "control": ["\1" * 300]}
    shown = (await previewed(artifacts, "nested", parquet_of(nested))).table
    assert texts(shown) == [["{'x': 1, 'y': [2, 3]}", "b'\\xff'", "\1" * CELL_CHARS_MAX]]
    assert (await previewed(artifacts, "none", parquet_of({"a": pa.array([], pa.int8())}))).table.row_count == 0


async def test_a_parquet_file_that_is_none_is_said_so(artifacts: Artifacts) -> None:
    good = parquet_of({"a": list(range(10_000))})
    for path, content in (
        ("short", b"PAR1"),
        ("zeros", b"PAR1" + bytes(1_000)),
        ("cut", good[:-20]),
        ("footer", good[:-8] + b"\xff\xff\xff\x7fPAR1"),
        ("damaged", good[:100] + bytes(200) + good[300:]),
    ):
        preview = await previewed(artifacts, path, content)
        assert preview.problem.startswith("It cannot be shown as Parquet: "), path
        assert preview.WhichOneof("content") is None
        assert preview.blob == blob_of(content)


async def test_a_parquet_bomb_ends_in_its_own_process(artifacts: Artifacts) -> None:
    # Forty rows of one value of 64 MB: 2.6 GB when they are read, some kilobytes as they lie there.
    once = pa.DictionaryArray.from_arrays(pa.array([0] * 40), pa.array([bytes(64 * 1024**2)], pa.binary()))
    bomb = parquet_of(
        {"a": once}, compression="zstd", dictionary_pagesize_limit=1024**3, store_schema=False, write_statistics=False
    )
    assert len(bomb) < 1024**2
    preview = await previewed(artifacts, "bomb.parquet", bomb)
    assert preview.WhichOneof("content") is None
    assert "memory" in preview.problem, preview.problem
    assert (await previewed(artifacts, "next.txt", b"next")).text.text == "next"


async def test_reading_is_bounded(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    content = parquet_of({"a": [json.dumps({"n": n}) for n in range(100_000)]})
    assert len(content) > HEAD_BYTES
    monkeypatch.setattr(parquet, "READ_BYTES_MAX", 100_000)
    assert "more of the file" in (await previewed(artifacts, "a.parquet", content)).problem
    monkeypatch.setattr(parquet, "TIMEOUT_S", 0.0)
    assert "longer than" in (await previewed(artifacts, "a.parquet", content)).problem
