"""How people name models and their versions."""

import pytest

from penstock.client.names import model_name, model_version_ref
from penstock.errors import InvalidInput


@pytest.mark.parametrize(
    ("given", "project", "name"),
    [
        ("reader", "digits", "projects/digits/models/reader"),
        ("projects/wine/models/reader", "digits", "projects/wine/models/reader"),
        ("Wine quality (v2)", "digits", "projects/digits/models/Wine quality (v2)"),
        ("projects/wine/models/a@b", "digits", "projects/wine/models/a@b"),
    ],
)
def test_models(given: str, project: str, name: str) -> None:
    assert model_name(given, project) == name


@pytest.mark.parametrize("given", ["", "a/b", "a:b", ".", "..", "m" * 257, "projects/P/models/a", "a\nb"])
def test_what_is_no_model(given: str) -> None:
    with pytest.raises(InvalidInput):
        model_name(given, "digits")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("reader/3", "projects/digits/models/reader/versions/3"),
        ("reader@production", "projects/digits/models/reader/aliases/production"),
        ("projects/wine/models/reader/versions/12", "projects/wine/models/reader/versions/12"),
        ("projects/wine/models/a@b/aliases/best", "projects/wine/models/a@b/aliases/best"),
        ("7/1", "projects/digits/models/7/versions/1"),
    ],
)
def test_versions(given: str, name: str) -> None:
    assert model_version_ref(given, "digits").name == name


@pytest.mark.parametrize("given", ["reader", "reader/0", "reader/x", "projects/wine/models/7", "reader@", "@best"])
def test_what_is_no_version(given: str) -> None:
    with pytest.raises(InvalidInput):
        model_version_ref(given, "digits")
