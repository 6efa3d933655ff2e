"""What users may say: keys, params, summary values, names. Checked here, once, before anything is written.

The limits are those of the contract (`run.proto`), so that the server has nothing to refuse.
"""

import json
import math
import operator
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from penstock.errors import InvalidInput, InvalidType

__all__ = [
    "JSON_CHARS_MAX",
    "KEY_CHARS_MAX",
    "NESTING_DEPTH_MAX",
    "RESERVED_TAG_PREFIX",
    "TEXT_CHARS_MAX",
    "TypedValue",
    "check_key",
    "check_text",
    "flat_items",
    "typed_value",
]

KEY_CHARS_MAX: Final = 250
TEXT_CHARS_MAX: Final = 8_000
JSON_CHARS_MAX: Final = 32_000
NESTING_DEPTH_MAX: Final = 32
RESERVED_TAG_PREFIX: Final = "penstock."
"""Tags that begin so say where and how a run was started, and are not for users to set."""
_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1


class TypedValue(NamedTuple):
    """A value as the spool keeps it.

    Attributes:
        kind: `string`, `int` (within int64), `double`, `bool` or `json`.
        value: The value; JSON text for kind `json`.
    """

    kind: str
    value: str | int | float | bool


def check_key(key: object, what: str) -> str:
    """Returns the key of a metric, param, tag or summary entry.

    Raises:
        InvalidType: It is not a string.
        InvalidInput: It is empty, longer than `KEY_CHARS_MAX` characters, holds a control character, or is not text that
            UTF-8 can carry.
    """
    if not isinstance(key, str):
        raise InvalidType(f"{what} must be a string, not {type(key).__name__} ({_shortened(repr(key))}).")
    if not key:
        raise InvalidInput(f"{what} must not be empty.")
    if len(key) > KEY_CHARS_MAX:
        raise InvalidInput(
            f"{what} {_shortened(key)!r} has {len(key):,} characters, at most {KEY_CHARS_MAX} are allowed."
        )
    if _CONTROL_CHARACTERS.search(key):
        raise InvalidInput(f"{what} {key!r} holds a control character.")
    _check_utf8(key, what)
    # A subclass such as numpy.str_ or a string enum must not leak into the files.
    return str.__str__(key)


def check_text(text: object, what: str, chars_max: int) -> str:
    """Returns a text. Raises `InvalidType` if it is not a string, `InvalidInput` if it is too long or not proper Unicode."""
    if not isinstance(text, str):
        raise InvalidType(f"{what} must be a string, not {type(text).__name__}.")
    if len(text) > chars_max:
        raise InvalidInput(f"{what} has {len(text):,} characters, at most {chars_max:,} are allowed.")
    _check_utf8(text, what)
    return str.__str__(text)


def flat_items(nested: Mapping[Any, Any], what: str) -> Iterator[tuple[str, Any]]:
    """Yields key and value of each leaf; the keys of nested mappings are joined by `/`.

    Whole numbers as keys, such as those of a table of labels, become texts. Raises `InvalidType` when a key is neither,
    `InvalidInput` when the nesting is deeper than `NESTING_DEPTH_MAX`. The joined key is checked by whoever uses it.
    """
    yield from _flat(nested, "", what, 1)


def _flat(nested: Mapping[Any, Any], prefix: str, what: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > NESTING_DEPTH_MAX:
        raise InvalidInput(f"{what} is nested deeper than {NESTING_DEPTH_MAX} levels at {_shortened(prefix)!r}.")
    for key, value in nested.items():
        if isinstance(key, int) and not isinstance(key, bool):
            key = int.__repr__(key)
        if not isinstance(key, str):
            raise InvalidType(f"{what} must be a string, not {type(key).__name__} ({_shortened(repr(key))}).")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}/", what, depth + 1)
        else:
            yield f"{prefix}{key}", value


def typed_value(value: object, what: str) -> TypedValue:
    """The value of a param or summary entry.

    Strings, whole numbers, numbers and truth values keep their type; also those of numpy, torch and the like. Lists, tuples,
    sets, None and whole numbers beyond int64 become JSON; anything else the text that `str()` makes of it.

    Raises `InvalidInput` when it is longer than `TEXT_CHARS_MAX` as text or `JSON_CHARS_MAX` as JSON.
    """
    plain = _plain(value, 0)
    if isinstance(plain, bool):
        return TypedValue("bool", plain)
    if isinstance(plain, int):
        if _INT64_MIN <= plain <= _INT64_MAX:
            return TypedValue("int", plain)
    elif isinstance(plain, float):
        return TypedValue("double", plain)
    elif isinstance(plain, str):
        return TypedValue("string", check_text(plain, what, TEXT_CHARS_MAX))
    return TypedValue("json", check_text(json.dumps(_finite(plain), ensure_ascii=False), what, JSON_CHARS_MAX))


def _plain(value: object, depth: int) -> Any:
    """Brings a value down to what JSON knows."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if depth > NESTING_DEPTH_MAX:
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item, depth + 1) for item in value), key=repr)
    # Scalars and arrays of numpy, torch and jax say what they are in plain Python.
    to_list = getattr(value, "tolist", None)
    if callable(to_list):
        made = to_list()
        if made is not value:
            return _plain(made, depth + 1)
    try:
        return operator.index(value)  # type: ignore[arg-type]  # this is the question
    except TypeError:
        pass
    if isinstance(value, float):
        return float(value)
    return str(value)


def _finite(plain: Any) -> Any:
    """JSON has no NaN and no infinities: they become the texts `NaN`, `Infinity`, `-Infinity`."""
    if isinstance(plain, float) and not math.isfinite(plain):
        return "NaN" if math.isnan(plain) else ("Infinity" if plain > 0 else "-Infinity")
    if isinstance(plain, dict):
        return {key: _finite(item) for key, item in plain.items()}
    if isinstance(plain, list):
        return [_finite(item) for item in plain]
    return plain


def _check_utf8(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{what} holds half a surrogate pair, which is not text.") from None


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
