"""How things are described on the command line: `KEY=VALUE`, and messages of the contract in files of JSON."""

import sys
from pathlib import Path
from typing import Any, TypeVar

from penstock.errors import InvalidInput

__all__ = ["described", "key_values", "numbers"]

DESCRIPTION_CHARS_MAX = 4_000_000
"""Largest file that something may be described by: beyond, the server takes no message."""

M = TypeVar("M")


def described(file: Path, message: M) -> M:
    """A message of the contract as a file of JSON says; `-` reads stdin. Raises `InvalidInput`."""
    from google.protobuf import json_format

    kind: Any = message
    try:
        text = sys.stdin.read(DESCRIPTION_CHARS_MAX + 1) if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}.") from error
    if len(text) > DESCRIPTION_CHARS_MAX:
        raise InvalidInput(f"{file} has more than {DESCRIPTION_CHARS_MAX:,} characters.")
    try:
        return json_format.Parse(text, kind)
    except json_format.ParseError as error:
        raise InvalidInput(f"{file} is not a {kind.DESCRIPTOR.name}: {error}.") from error


def key_values(texts: list[str] | None, what: str) -> dict[str, str]:
    """`KEY=TEXT` as a dictionary. Raises `InvalidInput`."""
    found: dict[str, str] = {}
    for text in texts or ():
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise InvalidInput(f"{text!r} is not of the form KEY=VALUE ({what}).")
        found[key] = value
    return found


def numbers(texts: dict[str, str]) -> dict[str, float]:
    """Texts as numbers. Raises `InvalidInput`."""
    found: dict[str, float] = {}
    for key, text in texts.items():
        try:
            found[key] = float(text)
        except ValueError:
            raise InvalidInput(f"The metric {key!r} is not a number: {text!r}.") from None
    return found
