"""Fields of MLflow's requests: how each is read from JSON or a query, and the texts with which a wrong one is refused.

MLflow reads a request as JSON of a protobuf message, and looks at types field by field only when that failed. So both `7` and
`"7"` are an integer, and null is nothing. What cannot be read is refused here, also where MLflow overlooks it.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from penstock_gateway.mlflow.errors import MlflowError, invalid

__all__ = [
    "INT64",
    "Field",
    "Query",
    "Unreadable",
    "Values",
    "choice",
    "flag",
    "integer",
    "items",
    "missing_field",
    "number",
    "one",
    "read",
    "shown",
    "text",
    "texts",
    "wrong_type",
]

INT64: Final = range(-(2**63), 2**63)
SEE_DOCS: Final = " See the API docs for more information about request parameters."
SHOWN_CHARS_MAX: Final = 1_000  # of a wrong value, in the message about it
Values = dict[str, Any]


class Unreadable(Exception):
    """The value is not of the field's type."""


class Query(dict[str, list[str]]):
    """A query: the values of each name."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a request.

    Attributes:
        name: As MLflow names it, in snake case; its camel case is read too.
        reads: Turns the JSON of a value into the value. Raises `Unreadable`.
        default: What an absent field is.
        required: Whether it has to be there, and not to be an empty text.
        alias: Another name under which it may come.
        repeated: Whether it holds several values.
    """

    name: str
    reads: Callable[[Any], Any]
    default: Any = None
    required: bool = False
    alias: str = ""
    repeated: bool = False

    @property
    def camel(self) -> str:
        """Its name in camel case."""
        first, *rest = self.name.split("_")
        return first + "".join(word.capitalize() for word in rest)


def text(name: str, *, default: str | None = "", required: bool = False, alias: str = "") -> Field:
    """A text."""
    return Field(name, _text, default, required, alias)


def integer(name: str, *, default: int | None = None, required: bool = False) -> Field:
    """A whole number of 64 bits."""
    return Field(name, _integer, default, required)


def number(name: str, *, required: bool = False) -> Field:
    """A number, `"NaN"` and `"Infinity"` included."""
    return Field(name, _number, None, required)


def flag(name: str, *, default: bool = False) -> Field:
    """True or false."""
    return Field(name, _flag, default)


def choice(name: str, numbers: Mapping[str, int], *, default: int | None = None, required: bool = False) -> Field:
    """One of some names, or its number. A name that is not among them counts as absent."""
    return Field(name, lambda raw: _choice(raw, numbers), default, required)


def texts(name: str, *, required: bool = False) -> Field:
    """Several texts."""
    return Field(name, lambda raw: [_text(inner) for inner in _array(raw)], (), required, repeated=True)


def items(name: str, *fields: Field, required: bool = False) -> Field:
    """Several objects with fields of their own, of which none is required."""
    return Field(name, lambda raw: [_object(inner, fields) for inner in _array(raw)], (), required, repeated=True)


def one(name: str, *fields: Field) -> Field:
    """An object with fields of its own, of which none is required."""
    return Field(name, lambda raw: _object(raw, fields), None)


def read(request: Any, fields: Sequence[Field]) -> Values:
    """The fields of a request, by name. Raises `MlflowError`.

    Args:
        request: The JSON of its body, or its query as texts and lists of them.
        fields: In the order in which MLflow looks at them.
    """
    if not isinstance(request, Mapping):
        raise invalid("The request is not a JSON object." + SEE_DOCS)
    values: Values = {}
    raws: dict[str, Any] = {}
    unreadable: set[str] = set()
    for field in fields:
        raw = raws[field.name] = _raw(request, field)
        values[field.name] = field.default
        if raw is not None:
            try:
                found = field.reads(raw)
            except Unreadable:
                unreadable.add(field.name)
            else:
                values[field.name] = field.default if found is None else found
    for field in fields:
        raw = raws[field.name]
        if field.required and (raw is None or raw == ""):
            raise missing_field(field.name)
        if field.name in unreadable:
            raise wrong_type(field.name, raw)
    return values


def missing_field(name: str) -> MlflowError:
    """A field that has to be there is not."""
    return invalid(f"Missing value for required parameter '{name}'.{SEE_DOCS}")


def wrong_type(name: str, raw: Any) -> MlflowError:
    """A value is not of its field's type."""
    return invalid(
        f"Invalid value {shown(raw)} for parameter '{name}' supplied:  Hint: Value was of type "
        f"'{type(raw).__name__}'.{SEE_DOCS}"
    )


def shown(raw: Any) -> str:
    """A value in a message: its JSON, cut to a length that fits in one."""
    try:
        shown = json.dumps(raw, sort_keys=True, separators=(",", ":"))
    except (RecursionError, ValueError, TypeError):
        return "..."
    return shown if len(shown) <= SHOWN_CHARS_MAX else shown[:SHOWN_CHARS_MAX] + "..."


def _raw(request: Mapping[str, Any], field: Field) -> Any:
    if isinstance(request, Query):
        values = request.get(field.name) or request.get(field.alias)
        return values if field.repeated or not values else values[0]
    camel = field.camel
    if camel != field.name and camel in request:
        if field.name in request:
            raise invalid(f"Request specifies both '{field.name}' and '{camel}'; provide only one of them.")
        return request[camel]
    raw = request.get(field.name)
    return request.get(field.alias) if raw is None and field.alias else raw


def _text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise Unreadable
    if not raw.isascii():
        try:
            raw.encode()
        except UnicodeEncodeError:  # half of a surrogate pair
            raise Unreadable from None
    return raw


def _integer(raw: Any) -> int:
    try:
        if isinstance(raw, bool) or (isinstance(raw, float) and not raw.is_integer()):
            raise Unreadable
        if isinstance(raw, str) and raw != raw.strip():
            raise Unreadable
        value = int(raw)
    except (ValueError, TypeError, OverflowError):
        raise Unreadable from None
    if value not in INT64:
        raise Unreadable
    return value


def _number(raw: Any) -> float:
    if isinstance(raw, float):
        return raw
    try:
        if isinstance(raw, bool):
            raise Unreadable
        value = float(raw)
    except (ValueError, TypeError, OverflowError):
        raise Unreadable from None
    if not math.isfinite(value) and raw not in ("NaN", "Infinity", "-Infinity"):
        raise Unreadable
    return value


def _flag(raw: Any) -> bool:
    if isinstance(raw, str) and raw.lower() in ("true", "false"):  # of a query
        return raw.lower() == "true"
    if not isinstance(raw, bool):
        raise Unreadable
    return raw


def _choice(raw: Any, numbers: Mapping[str, int]) -> int | None:
    if isinstance(raw, str) and not raw.lstrip("-").isdecimal():
        return numbers.get(raw)
    value = _integer(raw)
    return value if value in numbers.values() else None


def _array(raw: Any) -> Sequence[Any]:
    if not isinstance(raw, list):
        raise Unreadable
    return raw


def _object(raw: Any, fields: Sequence[Field]) -> Values:
    if not isinstance(raw, Mapping):
        raise Unreadable
    values: Values = {}
    for field in fields:
        inner = _raw(raw, field)
        found = None if inner is None else field.reads(inner)
        values[field.name] = field.default if found is None else found
    return values
