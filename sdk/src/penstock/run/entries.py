"""What belongs to a run beside its metrics: config, summary, tags. Each looks like a dict and writes as it changes."""

import argparse
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import fields, is_dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

from penstock.errors import InvalidInput, InvalidType
from penstock.spool.records import RecordType
from penstock.spool.values import (
    NESTING_DEPTH_MAX,
    RESERVED_TAG_PREFIX,
    TEXT_CHARS_MAX,
    TypedValue,
    check_key,
    check_text,
    flat_items,
    typed_value,
)

__all__ = ["Config", "Params", "Summary", "Tags"]

Record = Callable[[RecordType, dict[str, Any]], None]


class Params:
    """The params of a run, flat as they are recorded, and each value as it was given.

    Args:
        record: Writes a record.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self.typed: dict[str, TypedValue] = {}
        self.given: dict[str, Any] = {}
        self.children: dict[str, dict[str, None]] = {"": {}}
        """The names below each prefix, such as `model/`, in the order in which they came."""

    def update(self, values: object, prefix: str = "") -> None:
        """Sets params below a prefix. Raises as `Config.update` does."""
        for key, (typed, given) in self.check(values, prefix).items():
            self._record(RecordType.PARAM, {"key": key, "kind": typed.kind, "value": typed.value})
            self.typed[key] = typed
            self.given[key] = given
            above = ""
            for name in key.split("/"):
                self.children.setdefault(above, {})[name] = None
                above = f"{above}{name}/"

    def check(self, values: object, prefix: str = "") -> dict[str, tuple[TypedValue, Any]]:
        """What `update` would write, by flat keys: the value as it is recorded, and a copy of it as it was given."""
        checked: dict[str, tuple[TypedValue, Any]] = {}
        for flat_key, value in flat_items(_opened(_mapping_of(values), 0), "A param's name"):
            key = check_key(f"{prefix}{flat_key}", "A param's name")
            typed = typed_value(value, f"The param {key!r}")
            known = self.typed.get(key) or (checked[key][0] if key in checked else None)
            # Compared as text, so that NaN equals NaN and 1 differs from 1.0 and True.
            if known is not None and repr(known) != repr(typed):
                raise InvalidInput(
                    f"The param {key!r} is {known.value!r} already. Params are written once: what changes during a run is a "
                    "metric (run.log) or belongs into run.summary."
                )
            if known is None:
                checked[key] = (typed, _copied(value))
        return checked


class Config(Mapping[str, Any]):
    """The params of a run: its inputs, such as a learning rate. Each is written once and read back as it was given.

    Read and written by key or attribute: `run.config["lr"]`, `run.config.lr`. Nested mappings are views of the same kind:
    `{"model": {"depth": 12}}` is read as `run.config.model.depth` and recorded as the param `model/depth`, which is a key,
    too. What is changed in a list that was read is not recorded. A param that is called like a method, such as `items`, is
    read by key.

    Args:
        params: The params of the run.
        prefix: Which of them this shows: those below it; empty means all.
    """

    def __init__(self, params: Params, prefix: str = "") -> None:
        self._params = params
        self._prefix = prefix

    def __getitem__(self, key: str | int) -> Any:
        # Whole numbers as keys were recorded as texts.
        path = f"{self._prefix}{key}"
        if path in self._params.given:
            return _copied(self._params.given[path])
        if f"{path}/" in self._params.children:
            return Config(self._params, f"{path}/")
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._params.children[self._prefix])

    def __len__(self) -> int:
        return len(self._params.children[self._prefix])

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __getattr__(self, name: str) -> Any:
        # Python asks for names with underscores while it copies or shows an object.
        if not name.startswith("_") and name in self:
            return self[name]
        raise AttributeError(f"There is no param {self._prefix + name!r}.")

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
        elif hasattr(type(self), name):
            raise InvalidInput(f"config.{name} is a method: set this param by its key, config[{name!r}] = ...")
        else:
            self[name] = value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(name for name in self if name.isidentifier())})

    def update(self, values: object) -> None:
        """Sets params. All are checked before any is written.

        Args:
            values: A mapping, a dataclass, an `argparse.Namespace`, or an object whose public attributes are meant.

        Raises:
            InvalidType: They are of another kind, or a key is not a string.
            InvalidInput: A key or value is too long, or a param has another value already.
        """
        self._params.update(values, self._prefix)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, nested as they were given."""
        return {key: value.to_dict() if isinstance(value, Config) else value for key, value in self.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        # In another process, or as a copy, it writes nothing.
        return dict, (self.to_dict(),)

    def __repr__(self) -> str:
        return f"Config({self.to_dict()!r})"


class Summary(MutableMapping[str, Any]):
    """What the user says of the outcome: `run.summary["test/accuracy"] = 0.98`. Never overwrites metrics."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._values: dict[str, TypedValue] = {}

    def __getitem__(self, key: str) -> Any:
        return self._values[key].value

    def __setitem__(self, key: str, value: Any) -> None:
        nested = value if isinstance(value, Mapping) else None
        items = (
            [(key, value)] if nested is None else [(f"{key}/{k}", v) for k, v in flat_items(nested, "A summary's name")]
        )
        for flat_key, item in items:
            checked = check_key(flat_key, "A summary's name")
            typed = typed_value(item, f"The summary {checked!r}")
            self._record(RecordType.SUMMARY, {"key": checked, "kind": typed.kind, "value": typed.value})
            self._values[checked] = typed

    def __delitem__(self, key: str) -> None:
        raise InvalidInput("A summary entry cannot be removed, only set anew.")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Summary({dict(self)!r})"


class Tags(MutableMapping[str, str]):
    """Labels of a run, which may change: `run.tags["team"] = "vision"`, `run.tags.add("baseline")`."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._values: dict[str, str] = {}

    def __getitem__(self, key: str) -> str:
        return self._values[key]

    def __setitem__(self, key: str, value: str) -> None:
        checked = check_key(key, "A tag")
        if checked.startswith(RESERVED_TAG_PREFIX):
            raise InvalidInput(f"Tags that begin with {RESERVED_TAG_PREFIX!r} are set by penstock itself.")
        self._set(checked, check_text(value, f"The tag {checked!r}", TEXT_CHARS_MAX))

    def __delitem__(self, key: str) -> None:
        del self._values[key]
        self._record(RecordType.TAG, {"key": key, "value": None})

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def add(self, *labels: str) -> None:
        """Sets tags without a value."""
        for label in labels:
            self[label] = ""

    def set_own(self, values: Mapping[str, str]) -> None:
        """Sets tags of penstock itself: where and how a run was started. Too long ones are cut."""
        for key, value in values.items():
            self._set(f"{RESERVED_TAG_PREFIX}{key}", value[:TEXT_CHARS_MAX])

    def _set(self, key: str, value: str) -> None:
        self._record(RecordType.TAG, {"key": key, "value": value})
        self._values[key] = value

    def __repr__(self) -> str:
        return f"Tags({dict(self)!r})"


def _mapping_of(values: object) -> Mapping[Any, Any]:
    """What was given as config, as a mapping. Raises `InvalidType`."""
    named = _named_values(values)
    if named is not None:
        return named
    # Of any other object its public attributes; if it has none, something else was meant.
    held = {} if callable(values) or isinstance(values, ModuleType) else getattr(values, "__dict__", {})
    public = {name: value for name, value in held.items() if not name.startswith("_")}
    if not public:
        raise InvalidType(
            f"config must be a mapping, a dataclass or an argparse.Namespace, not {type(values).__name__}."
        )
    return public


def _named_values(value: object) -> Mapping[Any, Any] | None:
    """The content of what consists of names and values by its nature; None if it is something else."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, (argparse.Namespace, SimpleNamespace)):
        return vars(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return None


def _opened(values: Mapping[Any, Any], depth: int) -> dict[Any, Any]:
    """The same with dataclasses and namespaces within as mappings."""
    if depth > NESTING_DEPTH_MAX:
        return dict(values)  # too deep, which `flat_items` says
    inner = ((key, value, _named_values(value)) for key, value in values.items())
    return {key: value if named is None else _opened(named, depth + 1) for key, value, named in inner}


def _copied(value: Any, depth: int = 0) -> Any:
    """A copy of lists, dicts and the like, so that who changes one does not change what the run says of itself."""
    if depth > NESTING_DEPTH_MAX:
        return value  # perhaps a list that holds itself
    if type(value) in (list, tuple, set):
        return type(value)(_copied(item, depth + 1) for item in value)
    if type(value) is dict:
        return {key: _copied(item, depth + 1) for key, item in value.items()}
    return value
