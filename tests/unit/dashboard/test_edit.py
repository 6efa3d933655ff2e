"""Tags as lines of text: what is read is what was written, and what a line cannot hold is left alone."""

import pytest

from penstock.api.tracking.v1 import run_pb2
from penstock.errors import InvalidInput
from penstock_dashboard.pages import edit


def test_tags_are_read_as_they_were_written() -> None:
    tags = [run_pb2.Tag(key="team", value="vision"), run_pb2.Tag(key="empty"), run_pb2.Tag(key="sum", value="a = b")]
    text = edit.tags_text(tags)
    assert text.splitlines() == ["team = vision", "empty = ", "sum = a = b"]
    assert edit.tags_of(text) == {"team": "vision", "empty": "", "sum": "a = b"}


@pytest.mark.parametrize(
    ("key", "value"), [("a=b", "1"), ("a", "two\nlines"), ("a", " space"), ("penstock.git", "1"), ("a", "\u2028x")]
)
def test_what_a_line_cannot_hold_is_left_alone(key: str, value: str) -> None:
    assert edit.tags_text([run_pb2.Tag(key=key, value=value)]) == ""


@pytest.mark.parametrize("line", ["= value", "penstock.git = x", "="])
def test_a_line_that_is_no_tag_is_named(line: str) -> None:
    with pytest.raises(InvalidInput, match="no tag"):
        edit.tags_of(f"a = 1\n\n{line}")


def test_the_menu_and_its_dialogs_can_be_built() -> None:
    assert "run-menu-delete" in str(edit.menu())
    assert "run-edit-save" in str(edit.dialogs("projects/p/runs/r"))
