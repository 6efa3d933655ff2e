"""Settings from environment variables: a frozen dataclass in, its instance out, errors that name the variable."""

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["SettingsError", "load"]

T = TypeVar("T")

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class SettingsError(Exception):
    """A setting is missing or wrong. The message names it and says what to write, for the person who starts the server."""


def load(cls: type[T], prefix: str, environ: Mapping[str, str]) -> T:
    """Makes a settings dataclass from the environment.

    The field `drain_s` of a class loaded with prefix `PENSTOCK_AUTH` is the variable `PENSTOCK_AUTH_DRAIN_S`. A variable that
    is absent or empty leaves the field's default. Fields are str, int, float, bool (1/0, true/false, yes/no, on/off), Path
    or a `Literal` of texts, each also with `| None`. Several classes may share one prefix, so variables without a field
    are not an error.

    Raises:
        SettingsError: A variable does not read as its type, or a field without default has none.
    """
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for field in fields(typing.cast("Any", cls)):
        variable = f"{prefix}_{field.name}".upper()
        text = environ.get(variable, "")
        if text:
            values[field.name] = _read(variable, text, _plain(hints[field.name]))
        elif field.default is MISSING and field.default_factory is MISSING:
            raise SettingsError(
                f"{variable} is not set, and it has no default: set it to {_wanted(hints[field.name])}."
            )
    return cls(**values)


def _plain(hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not types.NoneType)
    return hint


def _wanted(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(typing.get_args(hint))
    return {str: "a text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}[
        _plain(hint)
    ]


def _read(variable: str, text: str, hint: Any) -> Any:
    try:
        if hint is bool:
            if text.lower() in _TRUE | _FALSE:
                return text.lower() in _TRUE
            raise ValueError
        if hint is str:
            return text
        if hint is int:
            return int(text)
        if hint is float:
            return float(text)
        if hint is Path:
            return Path(text).expanduser()
        if typing.get_origin(hint) is typing.Literal:
            if text in typing.get_args(hint):
                return text
            raise ValueError
    except ValueError:
        # The value itself stays out of the message: a secret may have been put into the wrong variable.
        raise SettingsError(f"{variable} cannot be read: set it to {_wanted(hint)}.") from None
    raise TypeError(f"{variable}: settings cannot be of type {hint}")
