"""Manifests as text, and paths."""

import hashlib

import pytest

from penstock.artifact_paths import path_problem
from penstock_artifact.domain import BlobId, File, Manifest, Reference

A = BlobId("aa" * 32, 1)


def test_a_manifest_reads_as_it_was_written() -> None:
    entries = [
        Reference("z z", "s3://b/k", "etag", 0),
        File("b/ü", A, "image/png"),
        File("b c", A),
        Reference("r", "https://x.test/?q"),
    ]
    manifest = Manifest.of(entries)
    assert [entry.path for entry in manifest.entries] == ["b c", "b/ü", "r", "z z"]
    assert Manifest.read(manifest.text) == manifest
    assert manifest.digest == hashlib.sha256(manifest.text).hexdigest()
    assert manifest.text.decode().splitlines()[1] == f"file {'aa' * 32} 1 image/png b/ü"
    assert Manifest.of(reversed(entries)).digest == manifest.digest


@pytest.mark.parametrize("path", ["a", "a/b.txt", ".hidden", "con-fig", "ü" * 127, "a b", "x" * 255, "nulls/comet"])
def test_paths_that_are_files_everywhere(path: str) -> None:
    assert path_problem(path) is None


@pytest.mark.parametrize(
    "path",
    ["", "x" * 256, "/".join(["x" * 255] * 5), "..", "a/..", "CON", "lpt1.x", "aux .txt", "\ud800", "a\x7f", "b\u2028"],
)
def test_paths_that_are_not(path: str) -> None:
    assert path_problem(path) is not None


def test_a_path_has_1024_bytes_at_most() -> None:
    longest = "/".join(["x" * 204] * 5)
    assert len(longest) == 1_024
    assert path_problem(longest) is None
    assert path_problem(longest + "x") is not None
