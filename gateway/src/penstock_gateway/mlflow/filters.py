"""MLflow's filters and orders, read and written anew in the platform's grammar (`SEARCH.md` of the kit).

MLflow's filters are comparisons joined by AND. Which keys and operators each kind of field takes, and with which texts the
rest is refused, is said here; what a comparison means is up to the service.
"""

import fnmatch
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from penstock_gateway.mlflow.entities import RUN_NAME, STATUSES
from penstock_gateway.mlflow.errors import MlflowError, invalid

__all__ = [
    "Clause",
    "experiment_filter",
    "experiment_order",
    "model_filter",
    "model_order",
    "order_term",
    "read_clauses",
    "require",
    "run_filter",
    "run_order",
    "split_field",
    "with_view",
    "written_clause",
    "written_tag",
]

FILTER_CHARS_MAX: Final = 12_000  # written anew it is longer, and the service takes 16,384
NUMERIC_OPERATORS: Final = frozenset({">", ">=", "!=", "=", "<", "<="})
TEXT_OPERATORS: Final = frozenset({"!=", "=", "LIKE", "ILIKE"})
NUMERIC_KEYS: Final = frozenset(
    [
        "start_time",
        "end_time",
        "creation_time",
        "last_update_time",
        "creation_timestamp_ms",
        "last_updated_timestamp_ms",
    ]
)
PRESENCE: Final = frozenset({"IS NULL", "IS NOT NULL"})
MEMBERSHIP: Final = frozenset({"IN", "NOT IN"})

_ENTITIES: Final = {
    "metric": "metric", "metrics": "metric",
    "parameter": "parameter", "parameters": "parameter", "param": "parameter", "params": "parameter",
    "tag": "tag", "tags": "tag",
    "attribute": "attribute", "attributes": "attribute", "attr": "attribute", "run": "attribute",
    "dataset": "dataset", "datasets": "dataset",
}  # fmt: skip
_ENTITY_NAMES: Final = ["metric", "parameter", "tag", "attribute", "dataset"]
_RUN_ALIASES: Final = {
    "created": "start_time", "Created": "start_time",
    "run name": "run_name", "Run name": "run_name", "Run Name": "run_name",
}  # fmt: skip
# MLflow's attribute of a run → ours, which of them hold times.
_RUN_ATTRIBUTES: Final = {
    "run_id": "run_id",
    "run_name": "display_name",
    "user_id": "user",
    "status": "state",
    "start_time": "start_time",
    "end_time": "end_time",
}
_EXPERIMENT_ATTRIBUTES: Final = {
    "name": "display_name",
    "experiment_id": "experiment",
    "creation_time": "create_time",
    "last_update_time": "update_time",
}
_MODEL_ATTRIBUTES: Final = {
    "model_id": "model_id",
    "name": "display_name",
    "experiment_id": "experiment",
    "model_type": "model_type",
    "source_run_id": "source_run",
    "status": "state",
    "creation_timestamp_ms": "create_time",
    "last_updated_timestamp_ms": "update_time",
}
_MODEL_ALIASES: Final = {
    "creation_time": "creation_timestamp_ms",
    "creation_timestamp": "creation_timestamp_ms",
    "last_updated_timestamp": "last_updated_timestamp_ms",
}
_DATASET_SETS: Final = {"name": "datasets.*", "digest": "dataset_digests.*", "context": "dataset_contexts.*"}
_TIMES: Final = frozenset({"start_time", "end_time", "create_time", "update_time"})
_STATES_OF: Final = {"FAILED": ("FAILED", "CRASHED")}

_PART = r"""`[^`]*`|"[^"]*"|'[^']*'|[\w.]+(?:[\w./:-]*\w)?"""
_TOKENS: Final = re.compile(
    rf"""\s*(?:
        (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<text>'(?:''|\\'|[^'])*')
      | (?P<list>\((?:'[^']*'|"[^"]*"|[^()'"])*\))
      | (?P<operator><=|>=|!=|<>|==|=|<|>)
      | (?P<name>(?:`[^`]*`|"[^"]*"|[^\W\d]\w*)(?:\.(?:{_PART}))?)
    )""",
    re.VERBOSE,
)
_LIST: Final = re.compile(r"\(\s*((?:'[^']*'|\"[^\"]*\")(?:\s*,\s*(?:'[^']*'|\"[^\"]*\"))*)\s*,?\s*\)")
_TEXT: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_ORDER: Final = re.compile(r"\s*(?P<field>.*?\S)(?:\s+(?P<direction>asc|desc))?\s*", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Clause:
    """A comparison: `value` is a text as it stands between its quotes, a number, several texts, or None for presence."""

    entity: str
    key: str
    operator: str
    value: str | float | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def read_clauses(
    text: str, field: Callable[[str], tuple[str, str]], numeric: frozenset[str] = NUMERIC_KEYS
) -> list[Clause]:
    """The comparisons of a filter. Raises `MlflowError`.

    Args:
        text: The filter.
        field: Reads a field: which entity it is of, and its key.
        numeric: The attributes that hold numbers.
    """
    if len(text) > FILTER_CHARS_MAX:
        raise invalid(f"The filter has {len(text):,} characters, at most {FILTER_CHARS_MAX:,} are allowed.")
    tokens = _tokens(text)
    clauses: list[Clause] = []
    place = 0
    while place < len(tokens):
        if clauses:
            if tokens[place].text.upper() != "AND":
                raise _unclear(" ".join(token.text for token in tokens[place:]))
            place += 1
        place = _clause(tokens, place, field, numeric, clauses)
    return clauses


def run_filter(text: str) -> str:
    """A filter over runs, in the platform's grammar. Raises `MlflowError`."""
    return " and ".join(_run_clause(clause) for clause in read_clauses(text, _run_field))


def run_order(terms: Sequence[str]) -> str:
    """An order of runs. Runs that tie start with the one that started last. Raises `MlflowError`."""
    written: list[str] = []
    seen: set[tuple[str, str]] = set()
    for term in terms:
        name, direction = order_term(term)
        entity, key = _run_field(name)
        if (entity, key) in seen:
            raise invalid(f"`order_by` contains duplicate fields: {list(terms)}")
        seen.add((entity, key))
        if entity == "dataset":
            raise invalid(f"Invalid identifier type '{entity}'")
        written.append(f"{_ours(entity, key, _RUN_ATTRIBUTES)}{_as_text(entity, key)} {direction}")
    if ("attribute", "start_time") not in seen:
        written.append("start_time desc")
    return ", ".join(written)


def experiment_filter(text: str) -> str:
    """A filter over experiments, in the platform's grammar. Raises `MlflowError`."""
    return " and ".join(_experiment_clause(clause) for clause in read_clauses(text, _experiment_field))


def experiment_order(terms: Sequence[str]) -> str:
    """An order of experiments. Raises `MlflowError`."""
    written: list[str] = []
    for term in terms or ["creation_time DESC", "experiment_id ASC"]:
        name, direction = order_term(term)
        entity, key = _experiment_field(name)
        if entity != "attribute":
            raise invalid(f"Invalid order_by entity: {entity}")
        as_text = " as text" if key == "name" else ""
        written.append(f"{_EXPERIMENT_ATTRIBUTES[key]}{as_text} {direction}")
    return ", ".join(written)


def model_filter(text: str) -> str:
    """A filter over logged models, in the platform's grammar. Raises `MlflowError`."""
    return " and ".join(_model_clause(clause) for clause in read_clauses(text, _model_field))


def model_order(terms: Sequence[tuple[str, bool]]) -> str:
    """An order of logged models, by fields and whether they ascend. Those that tie: newest first. Raises `MlflowError`."""
    written: list[str] = []
    seen: set[str] = set()
    for name, ascending in terms:
        match = _TOKENS.fullmatch(name)
        if match is None or match.lastgroup != "name":
            raise invalid(f"Invalid order by field name: {name}")
        entity, key = _model_field(name)
        if entity not in ("attribute", "metric"):
            raise invalid(f"Invalid order by field name: {name}. Only metrics are supported.")
        seen.add(key)
        as_text = "" if entity == "metric" or _MODEL_ATTRIBUTES[key] in _TIMES else " as text"
        written.append(f"{_ours(entity, key, _MODEL_ATTRIBUTES)}{as_text} {'asc' if ascending else 'desc'}")
    if "creation_timestamp_ms" not in seen:
        written.append("create_time desc")
    return ", ".join(written)


def with_view(written: str, view_type: int) -> str:
    """A filter that also keeps to what is in use, to what is deleted, or to neither."""
    if view_type == 3:
        return written
    stage = "DELETED" if view_type == 2 else "ACTIVE"
    return f"{written} and lifecycle_stage = '{stage}'" if written else f"lifecycle_stage = '{stage}'"


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    place = 0
    text = text.rstrip()
    while place < len(text):
        match = _TOKENS.match(text, place)
        if match is None or match.lastgroup is None:
            raise _unclear(text[place:].strip())
        tokens.append(_Token(match.lastgroup, match[match.lastgroup]))
        place = match.end()
    return tokens


def _clause(
    tokens: Sequence[_Token],
    place: int,
    field: Callable[[str], tuple[str, str]],
    numeric: frozenset[str],
    clauses: list[Clause],
) -> int:
    """Reads a comparison into `clauses`. Returns where it ends."""
    rest = tokens[place:]
    if not rest or rest[0].kind != "name":
        raise _unclear(" ".join(token.text for token in rest))
    words = [token.text.upper() if token.kind == "name" else "" for token in rest[1:4]]
    if words[:2] == ["IS", "NULL"] or words == ["IS", "NOT", "NULL"]:
        taken = words.index("NULL") + 1
        operator, value = " ".join(words[:taken]), None
    else:
        taken = 2 if words[:2] in (["NOT", "IN"], ["NOT", "LIKE"], ["NOT", "ILIKE"]) else 1
        operator = (
            " ".join(words[:taken])
            if rest[1:] and rest[1].kind == "name"
            else "".join(token.text for token in rest[1:2])
        )
        if len(rest) < taken + 2 or (rest[1].kind != "operator" and operator not in MEMBERSHIP | {"LIKE", "ILIKE"}):
            raise _unclear(" ".join(token.text for token in rest))
        value = rest[taken + 1]
        taken += 1
    entity, key = field(rest[0].text)
    clauses.append(Clause(entity, key, operator, None if value is None else _value(entity, key, value, numeric)))
    return place + 1 + taken


def _value(entity: str, key: str, token: _Token, numeric_keys: frozenset[str]) -> str | float | tuple[str, ...]:
    numeric = entity == "metric" or (entity == "attribute" and key in numeric_keys)
    if numeric:
        if token.kind != "number":
            what = "metric" if entity == "metric" else f"numeric attribute: {key}"
            raise invalid(f"Expected numeric value type for {what}. Found {token.text}")
        return float(token.text)
    if token.kind == "list":
        if _LIST.fullmatch(token.text) is None:
            raise invalid(
                "While parsing a list in the query, expected a non-empty list of string values, but got ill-formed list."
            )
        return tuple(match[0][1:-1] for match in _TEXT.finditer(token.text))
    if token.kind == "text" or (token.kind == "name" and token.text[0] == '"' == token.text[-1]):
        return token.text[1:-1]
    if token.kind == "name" and entity != "attribute":
        raise invalid(
            "Parameter value is either not quoted or unidentified quote types used for string value "
            f"{token.text}. Use either single or double quotes."
        )
    what = {"attribute": "attributes", "dataset": "dataset attributes"}.get(entity, f"{entity} (e.g. 'my-value')")
    raise invalid(f"Expected a quoted string value for {what}. Got value {token.text}")


def split_field(name: str) -> tuple[str, str]:
    """The entity before the first dot, empty if there is none, and the key without its quotes."""
    quoted = name[0] in "`\"'"
    end = name.index(name[0], 1) + 1 if quoted and name[0] in name[1:] else None
    entity, dot, key = (name[:end], name[end : end + 1], name[end + 1 :]) if end else name.partition(".")
    if not dot:
        entity, key = "", name
    for quotes in ("'", '"', "`"):
        if len(key) >= 2 and key[0] == key[-1] == quotes:
            key = key[1:-1]
            break
    return entity.strip("`"), key


def _run_field(name: str) -> tuple[str, str]:
    entity_name, key = split_field(name)
    entity = _ENTITIES.get(entity_name) if entity_name else "attribute"
    if entity is None:
        raise invalid(f"Invalid entity type '{entity_name}'. Valid values are {_ENTITY_NAMES}")
    if entity == "attribute":
        key = _RUN_ALIASES.get(key, key)
        if key == "artifact_uri":
            raise invalid("Runs are not searched by 'artifact_uri' here: its end is the run's id, search by 'run_id'.")
        if key not in _RUN_ATTRIBUTES:
            raise invalid(f"Invalid attribute key '{key}' specified. Valid keys are '{sorted(_RUN_ATTRIBUTES)}'")
    if entity == "dataset" and key not in ("name", "digest", "context"):
        raise invalid(f"Invalid dataset key '{key}' specified. Valid keys are '{['context', 'digest', 'name']}'")
    return entity, key


def _experiment_field(name: str) -> tuple[str, str]:
    entity_name, key = split_field(name)
    entity = {"": "attribute", "attribute": "attribute", "tag": "tag", "tags": "tag"}.get(entity_name)
    if entity is None:
        raise invalid(f"Invalid entity type '{entity_name}'. Valid entity types are {('attribute', 'tag', 'tags')}")
    if entity == "attribute" and key not in _EXPERIMENT_ATTRIBUTES:
        raise invalid(f"Invalid attribute key '{key}' specified. Valid keys are '{sorted(_EXPERIMENT_ATTRIBUTES)}'")
    return entity, key


def _model_field(name: str) -> tuple[str, str]:
    entity_name, key = split_field(name)
    entities = {"": "attribute", "attributes": "attribute", "metrics": "metric", "params": "parameter", "tags": "tag"}
    entity = entities.get(entity_name)
    if entity is None:
        raise invalid(f"Invalid entity type: {entity_name!r}. Expected one of {[one for one in entities if one]}.")
    if entity == "attribute":
        key = _MODEL_ALIASES.get(key, key)
        if key not in _MODEL_ATTRIBUTES:
            raise invalid(f"Invalid attribute key '{key}' specified. Valid keys are '{sorted(_MODEL_ATTRIBUTES)}'")
    return entity, key


def _model_clause(clause: Clause) -> str:
    numeric = clause.entity == "metric" or clause.key in NUMERIC_KEYS
    require(clause, NUMERIC_OPERATORS if numeric else TEXT_OPERATORS | MEMBERSHIP)
    return written_clause(_ours(clause.entity, clause.key, _MODEL_ATTRIBUTES), clause)


def _run_clause(clause: Clause) -> str:
    key = clause.key
    match clause.entity:
        case "metric":
            require(clause, NUMERIC_OPERATORS)
        case "parameter" | "tag":
            require(clause, TEXT_OPERATORS | PRESENCE)
        case "attribute":
            require(clause, NUMERIC_OPERATORS if key in NUMERIC_KEYS else TEXT_OPERATORS | MEMBERSHIP)
            if isinstance(clause.value, tuple) and key != "run_id":
                raise invalid("Only ['run_id'] attributes support comparison with a list of quoted string values.")
        case _:
            require(clause, TEXT_OPERATORS | MEMBERSHIP)
            return written_clause(_DATASET_SETS[key], clause)
    if clause.entity == "attribute" and key == "status":
        return _status_clause(clause)
    return written_clause(_ours(clause.entity, key, _RUN_ATTRIBUTES), clause)


def _status_clause(clause: Clause) -> str:
    """MLflow has fewer statuses: which of them match is decided here, and asked for by ours."""
    assert isinstance(clause.value, str)
    chosen = [name for name in STATUSES if _text_matches(name, clause.operator, clause.value)]
    states = [state for name in chosen for state in _STATES_OF.get(name, (name,))]
    return f"state in ({', '.join(map(_quoted, states))})" if states else "state is null"


def _experiment_clause(clause: Clause) -> str:
    if clause.entity == "tag":
        require(clause, TEXT_OPERATORS | PRESENCE, "Invalid comparator for tag: {}")
    elif clause.key == "experiment_id":
        require(clause, frozenset({"=", "!="}) | MEMBERSHIP, "Invalid comparator for experiment_id: {}")
        for value in clause.value if isinstance(clause.value, tuple) else (clause.value,):
            if not re.fullmatch(r"[0-9]{1,18}", str(value)):
                raise invalid(f"Invalid experiment ID '{value}'. Experiment ID must be a valid integer.")
    elif clause.key in NUMERIC_KEYS:
        require(clause, NUMERIC_OPERATORS)
    else:
        require(clause, TEXT_OPERATORS, "Invalid comparator for string attribute: {}")
        if isinstance(clause.value, tuple):
            raise invalid("Only ['experiment_id'] attributes support comparison with a list of quoted string values.")
    return written_clause(_ours(clause.entity, clause.key, _EXPERIMENT_ATTRIBUTES), clause)


def require(clause: Clause, operators: frozenset[str], problem: str = "") -> None:
    if clause.operator not in operators:
        raise invalid(
            (problem or f"Invalid comparator '{{}}' not one of '{sorted(operators)}'").format(clause.operator)
        )
    if (clause.operator in MEMBERSHIP) != isinstance(clause.value, tuple):
        raise _unclear(f"{clause.key} {clause.operator} {clause.value}")


def _ours(entity: str, key: str, attributes: Mapping[str, str]) -> str:
    """A field in the platform's grammar."""
    if entity == "attribute":
        return attributes[key]
    if entity == "tag" and key == RUN_NAME:
        return "display_name"
    if not key:
        raise invalid("The key of a field is empty.")
    collection = {"metric": "metrics", "parameter": "params", "tag": "tags"}[entity]
    return _of(collection, key)


def _of(collection: str, key: str) -> str:
    return f'{collection}."{key.replace(chr(34), chr(34) * 2)}"'


def written_tag(key: str) -> str:
    """A tag in the platform's grammar. Raises `MlflowError`."""
    return _ours("tag", key, {})


def _as_text(entity: str, key: str) -> str:
    """MLflow's params, tags and names sort as texts, also those that spell a number."""
    return "" if entity == "metric" or key in NUMERIC_KEYS else " as text"


def written_clause(field: str, clause: Clause) -> str:
    """A comparison in the platform's grammar."""
    value = clause.value
    if value is None:
        return f"{field} {clause.operator.lower()}"
    if isinstance(value, tuple):
        return f"{field} {clause.operator.lower()} ({', '.join(map(_quoted, value))})"
    if isinstance(value, str):
        # A backslash is nothing but itself in MLflow's patterns.
        text = value.replace("\\", "\\\\") if clause.operator in ("LIKE", "ILIKE") else value
        return f"{field} {clause.operator.lower()} {_quoted(text)}"
    if field in _TIMES:
        return _time_written(field, clause.operator, value)
    return f"{field} {clause.operator} {value!r}"


def _time_written(field: str, operator: str, value: float) -> str:
    """A comparison of whole milliseconds: our times are finer."""
    first, after = math.ceil(value), math.floor(value) + 1
    match operator:
        case "=":
            return f"{field} >= {first} and {field} < {after}"
        case "!=":
            return f"({field} < {first} or {field} >= {after})"
        case ">":
            return f"{field} >= {after}"
        case ">=":
            return f"{field} >= {first}"
        case "<":
            return f"{field} < {first}"
        case _:
            return f"{field} < {after}"


def _text_matches(text: str, operator: str, value: str) -> bool:
    if operator in ("LIKE", "ILIKE"):
        pattern = "".join({"%": "*", "_": "?"}.get(c, f"[{c}]" if c in "*?[" else c) for c in value)
        if operator == "ILIKE":
            text, pattern = text.lower(), pattern.lower()
        return fnmatch.fnmatchcase(text, pattern)
    return (text == value) == (operator == "=")


def order_term(term: str) -> tuple[str, str]:
    match = _ORDER.fullmatch(term)
    if match is None or len(term) > FILTER_CHARS_MAX:
        raise invalid(f"Invalid order_by clause '{term}'. Could not be parsed.")
    name = match["field"]
    token = _TOKENS.fullmatch(name)
    if token is None or token.lastgroup != "name":
        words = name.rsplit(None, 1)
        if len(words) == 2 and (inner := _TOKENS.fullmatch(words[0])) is not None and inner.lastgroup == "name":
            raise invalid(f"Invalid ordering key in order_by clause '{term}'.")
        raise invalid(f"Invalid order_by clause '{term}'. Could not be parsed.")
    return name, (match["direction"] or "asc").lower()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _unclear(clauses: str) -> MlflowError:
    return invalid(f"Invalid clause(s) in filter string: '{clauses}'")
