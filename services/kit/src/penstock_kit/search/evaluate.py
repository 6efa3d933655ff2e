"""Which rows of a table a filter matches: one vector operation per clause."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from penstock_kit.search.columns import Mask, NumberColumn
from penstock_kit.search.errors import FilterTooCostly
from penstock_kit.search.patterns import LikePattern
from penstock_kit.search.syntax import (
    And,
    ColumnType,
    Comparison,
    Expression,
    Field,
    Membership,
    Not,
    Operator,
    Or,
    Presence,
    Resemblance,
)
from penstock_kit.search.table import Table
from penstock_kit.search.value_columns import ValueColumn

__all__ = ["FILTER_MATCH_CHARS_MAX", "matches"]

FILTER_MATCH_CHARS_MAX: Final = 100_000_000
"""Characters that the patterns of a filter are compared with, each different text counted with `TEXT_OVERHEAD_CHARS`."""
TEXT_OVERHEAD_CHARS: Final = 60  # a short text costs about as much as this many characters


def matches(expression: Expression, table: Table) -> Mask:
    """For each row number of the table, whether the row is there and the filter matches it. Raises `FilterTooCostly`."""
    characters = 0
    for pattern in _patterns_of(expression):
        column = table.column(pattern.field)
        if pattern.field.type is ColumnType.KEYS:
            keys = table.keys_of(pattern.field.collection)
            characters += sum(map(len, keys)) + TEXT_OVERHEAD_CHARS * len(keys)
        elif isinstance(column, ValueColumn):
            texts, text_characters = column.text_size()
            characters += text_characters + TEXT_OVERHEAD_CHARS * texts
    if characters > FILTER_MATCH_CHARS_MAX:
        raise FilterTooCostly(
            f"The patterns of the filter would be compared with about {characters:,} characters, at most "
            f"{FILTER_MATCH_CHARS_MAX:,} are allowed: use fewer LIKEs, or compare fields with fewer different texts.",
            limit="FILTER_MATCH_CHARS_MAX",
        )
    return _evaluate(expression, table) & table.live


def _patterns_of(expression: Expression) -> Iterator[Resemblance]:
    match expression:
        case And(operands) | Or(operands):
            for operand in operands:
                yield from _patterns_of(operand)
        case Not(operand):
            yield from _patterns_of(operand)
        case Resemblance():
            yield expression
        case _:
            return


def _evaluate(expression: Expression, table: Table) -> Mask:
    match expression:
        case And(operands):
            mask = _evaluate(operands[0], table)
            for operand in operands[1:]:
                mask &= _evaluate(operand, table)
            return mask
        case Or(operands):
            mask = _evaluate(operands[0], table)
            for operand in operands[1:]:
                mask |= _evaluate(operand, table)
            return mask
        case Not(operand):
            return ~_evaluate(operand, table)
        case Presence(field, present):
            keys = table.keys_of(field.collection) if field.type is ColumnType.KEYS else [field.key]
            there = _rows_with(field, keys, table)
            return there if present else ~there
        case Comparison() | Membership() | Resemblance():
            if expression.field.type is ColumnType.KEYS:
                keys = table.keys_of(expression.field.collection)
                return _rows_with(expression.field, _matching(expression, keys), table)
            return _evaluate_clause(expression, table)


def _rows_with(field: Field, keys: Iterable[str], table: Table) -> Mask:
    """The rows that have any of some keys of a field's collection."""
    there = np.zeros(table.row_count, np.bool_)
    for key in keys:
        column = table.column(replace(field, key=key))
        if column is not None:
            there[column.rows] = True
    return there


def _matching(clause: Comparison | Membership | Resemblance, keys: Sequence[str]) -> list[str]:
    """The keys that compare with texts as asked."""
    match clause:
        case Comparison(_, operator, literal):
            return [key for key in keys if (key == literal) == (operator is Operator.EQ)]
        case Membership(_, literals, negated):
            return [key for key in keys if (key in literals) != negated]
        case Resemblance(_, pattern, ignore_case, negated):
            matched = LikePattern(pattern, ignore_case=ignore_case).matches_each(keys)
            return [key for key, found in zip(keys, matched, strict=True) if found != negated]


def _evaluate_clause(clause: Comparison | Membership | Resemblance, table: Table) -> Mask:
    """A clause that only rows with a value can match."""
    column = table.column(clause.field)
    match column, clause:
        case NumberColumn(), Comparison(field, operator, float(literal)):
            chosen = column.compare(operator, literal, field.aspect)
        case NumberColumn(), Membership(field, literals, negated):
            chosen = column.among([float(literal) for literal in literals], field.aspect)
            chosen = ~chosen if negated else chosen
        case ValueColumn(), Comparison(_, operator, literal):
            chosen = column.compare(operator, literal)
        case ValueColumn(), Membership(_, literals, negated):
            chosen = column.among(literals, negated=negated)
        case ValueColumn(), Resemblance(_, pattern, ignore_case, negated):
            chosen = column.resembles(LikePattern(pattern, ignore_case=ignore_case))
            chosen = ~chosen if negated else chosen
        case None, _:
            return np.zeros(table.row_count, np.bool_)
        case _:
            raise TypeError(f"{clause} does not fit its column")  # the parser lets nothing of the kind through
    return table.spread(column.rows, chosen)
