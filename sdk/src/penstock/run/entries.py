"""What belongs to a run beside its metrics: config, summary, tags. Each looks like a dict and writes as it changes."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Final

from penstock.errors import InvalidInput, InvalidType
from penstock.spool.records import RecordType
from penstock.spool.values import TEXT_CHARS_MAX, TypedValue, check_key, check_text, flat_items, typed_value

__all__ = ["Config", "Summary", "Tags"]

Record = Callable[[RecordType, dict[str, Any]], None]

_RESERVED_PREFIX: Final = "penstock."


class Config(Mapping[str, Any]):
    """The params of a run: its inputs, such as a learning rate. Each is written once.

    Nested mappings are flattened, their keys joined by `/`: `{"model": {"depth": 12}}` is the param `model/depth`.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._values: dict[str, TypedValue] = {}

    def __getitem__(self, key: str) -> Any:
        return self._values[key].value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def update(self, values: Mapping[str, Any]) -> None:
        """Sets params. All are checked before any is written.

        Raises:
            InvalidType: A key is not a string.
            InvalidInput: A key or value is too long, or a param has another value already.
        """
        for key, typed in self.check(values).items():
            self._record(RecordType.PARAM, {"key": key, "kind": typed.kind, "value": typed.value})
            self._values[key] = typed

    def check(self, values: Mapping[str, Any]) -> dict[str, TypedValue]:
        """The params that `update` would write, by their flat keys. Raises as `update` does."""
        if not isinstance(values, Mapping):
            raise InvalidType(f"config must be a mapping, not {type(values).__name__}: for argparse, give vars(args).")
        checked: dict[str, TypedValue] = {}
        for flat_key, value in flat_items(values, "A param's name"):
            key = check_key(flat_key, "A param's name")
            typed = typed_value(value, f"The param {key!r}")
            known = self._values.get(key) or checked.get(key)
            # Compared as text, so that NaN equals NaN and 1 differs from 1.0 and True.
            if known is not None and repr(known) != repr(typed):
                raise InvalidInput(
                    f"The param {key!r} is {known.value!r} already. Params are written once: what changes during a run is a "
                    "metric (run.log) or belongs into run.summary."
                )
            if known is None:
                checked[key] = typed
        return checked

    def __repr__(self) -> str:
        return f"Config({dict(self)!r})"


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
        if checked.startswith(_RESERVED_PREFIX):
            raise InvalidInput(f"Tags that begin with {_RESERVED_PREFIX!r} are set by penstock itself.")
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
            self._set(f"{_RESERVED_PREFIX}{key}", value[:TEXT_CHARS_MAX])

    def _set(self, key: str, value: str) -> None:
        self._record(RecordType.TAG, {"key": key, "value": value})
        self._values[key] = value

    def __repr__(self) -> str:
        return f"Tags({dict(self)!r})"
