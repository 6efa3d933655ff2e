"""MLflow's filters and orders over registered models and their versions, written anew in the platform's grammar.

Prompts are registered models with a tag. Searches pass over them, unless they ask for them by it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from penstock_gateway.mlflow.errors import invalid
from penstock_gateway.mlflow.filters import (
    MEMBERSHIP,
    NUMERIC_OPERATORS,
    TEXT_OPERATORS,
    Clause,
    order_term,
    read_clauses,
    require,
    split_field,
    written_clause,
    written_tag,
)

__all__ = ["IS_PROMPT", "model_filter", "model_order", "version_filter", "version_order"]

IS_PROMPT: Final = "mlflow.prompt.is_prompt"

_MODEL_FIELDS: Final = {"name": "name"}
_MODEL_ORDERS: Final = {"name": "name as text", "timestamp": "update_time", "last_updated_timestamp": "update_time"}
_VERSION_FIELDS: Final = {"name": "model", "version_number": "version", "run_id": "run", "source_path": "source_uri"}
_VERSION_ORDERS: Final = {
    "name": "model as text",
    "version_number": "version",
    "creation_timestamp": "create_time",
    "last_updated_timestamp": "update_time",
}
_VERSION_NUMBERS: Final = frozenset({"version_number"})


def model_filter(text: str) -> str:
    """A filter over registered models. Raises `MlflowError`."""
    return _filter(text, _MODEL_FIELDS, frozenset(), lists=("name",))


def version_filter(text: str) -> str:
    """A filter over versions. Raises `MlflowError`."""
    return _filter(text, _VERSION_FIELDS, _VERSION_NUMBERS, lists=("name", "run_id"))


def model_order(terms: Sequence[str]) -> str:
    """An order of registered models; those that tie go by name. Raises `MlflowError`."""
    return _order(terms, _MODEL_ORDERS, {"name": "name as text asc"})


def version_order(terms: Sequence[str]) -> str:
    """An order of versions; those that tie go by name, and the newest first. Raises `MlflowError`."""
    default = ["last_updated_timestamp DESC", "name ASC", "version_number DESC"]
    ties = {"name": "model as text asc", "version_number": "version desc"}
    return _order(terms or default, _VERSION_ORDERS, ties)


def _filter(text: str, fields: Mapping[str, str], numeric: frozenset[str], lists: Sequence[str]) -> str:
    def field(name: str) -> tuple[str, str]:
        entity_name, key = split_field(name)
        entity = {"": "attribute", "attribute": "attribute", "tag": "tag", "tags": "tag"}.get(entity_name)
        if entity is None:
            raise invalid(f"Invalid entity type '{entity_name}'. Valid entity types are {('attribute', 'tag', 'tags')}")
        if entity == "attribute" and key not in fields:
            raise invalid(f"Invalid attribute key '{key}' specified. Valid keys are '{sorted(fields)}'")
        return entity, key

    written: list[str] = []
    prompts = False
    for clause in read_clauses(text, field, numeric):
        if clause.entity == "tag" and clause.key == IS_PROMPT:
            prompts = prompts or _asks_for_prompts(clause)
        elif clause.entity == "tag":
            require(clause, TEXT_OPERATORS, "Invalid comparator for tag: {}")
            written.append(written_clause(written_tag(clause.key), clause))
        else:
            listed = MEMBERSHIP if clause.key in lists else frozenset[str]()
            allowed = NUMERIC_OPERATORS if clause.key in numeric else TEXT_OPERATORS | listed
            require(clause, allowed, "Invalid comparator for attribute: {}")
            written.append(written_clause(fields[clause.key], clause))
    is_prompt = f"{written_tag(IS_PROMPT)} = 'true'"
    return " and ".join([*written, is_prompt if prompts else f"not {is_prompt}"])


def _asks_for_prompts(clause: Clause) -> bool:
    require(clause, TEXT_OPERATORS, "Invalid comparator for tag: {}")
    value = str(clause.value).lower()
    return (clause.operator, value) in (("=", "true"), ("!=", "false"))


def _order(terms: Sequence[str], fields: Mapping[str, str], ties: Mapping[str, str]) -> str:
    written: list[str] = []
    seen: set[str] = set()
    for term in terms:
        name, direction = order_term(term)
        entity, key = split_field(name)
        if entity not in ("", "attribute") or key not in fields:
            raise invalid(f"Invalid order by key '{key}' specified. Valid keys are '{sorted(fields)}'")
        if key in seen:
            raise invalid(f"`order_by` contains duplicate fields: {list(terms)}")
        seen.add(key)
        written.append(f"{fields[key]} {direction}")
    return ", ".join([*written, *(tie for key, tie in ties.items() if key not in seen)])
