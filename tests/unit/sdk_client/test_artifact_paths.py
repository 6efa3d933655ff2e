"""What a path within an artifact may be."""

import pytest

from penstock.artifact_paths import PATH_BYTES_MAX, SEGMENT_BYTES_MAX, path_problem


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b.txt",
        ".hidden",
        "..a/b..c",
        "with space/é/\U0001f600",
        "2026-01-01T10:00/x",
        "console.txt",
        "com10",
        "x" * SEGMENT_BYTES_MAX,
        "/".join(["x" * 127] * 8),
    ],
)
def test_paths_that_may_be(path: str) -> None:
    assert path_problem(path) is None


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "has 0 bytes"),
        ("/".join(["x" * 127] * 7 + ["x" * 129]), "has 1025 bytes"),
        ("x" * (SEGMENT_BYTES_MAX + 1), "has a segment of more than 255 bytes"),
        ("é" * 128, "has a segment of more than 255 bytes"),
        ("/etc/passwd", "is absolute"),
        ("C:/x", "is absolute"),
        ("c:x", "is absolute"),
        ("\\\\server\\share", "has a backslash"),
        ("a\\b", "has a backslash"),
        ("..", "has a segment '..'"),
        ("a/../b", "has a segment '..'"),
        ("./a", "has a segment '.'"),
        ("a//b", "has an empty segment"),
        ("a/", "has an empty segment"),
        ("a\0b", "has a control character"),
        ("a\nb", "has a control character"),
        ("a\x7f", "has a control character"),
        ("a\u2028", "has a control character"),
        ("a.", "ends with a dot or a space"),
        ("a /b", "ends with a dot or a space"),
        ("nul", "is a device on Windows"),
        ("a/CON", "is a device on Windows"),
        ("Com1.txt", "is a device on Windows"),
        ("aux .txt", "is a device on Windows"),
        ("lpt9:x", "is a device on Windows"),
        ("\ud800", "is no text"),
    ],
)
def test_paths_that_may_not(path: str, problem: str) -> None:
    told = path_problem(path)
    assert told is not None
    assert problem in told


def test_the_limit_of_a_path() -> None:
    assert len("/".join(["x" * 127] * 8)) == PATH_BYTES_MAX - 1
