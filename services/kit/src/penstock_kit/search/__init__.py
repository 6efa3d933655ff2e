"""Search: filters and orders in text, their syntax trees, and columnar evaluation with numpy. Knows nothing of stores.

A filter is compiled to no store's query language: a `Table` holds the rows of one project as columns, and every clause
is one vector operation. So answers are the same whatever the store. SEARCH.md in this distribution tells users what a
filter may say; the grammar is in `penstock_kit.search.grammar`.
"""

from penstock_kit.search.cache import ByteBoundedCache
from penstock_kit.search.columns import MetricCell
from penstock_kit.search.errors import (
    AggregateInvalid,
    FilterInvalid,
    FilterTooCostly,
    GroupByInvalid,
    OrderInvalid,
    QueryInvalid,
)
from penstock_kit.search.evaluate import FILTER_MATCH_CHARS_MAX, matches
from penstock_kit.search.grammar import (
    FIELD_CHARS_MAX,
    FILTER_CHARS_MAX,
    FILTER_CLAUSES_MAX,
    FILTER_DEPTH_MAX,
    FILTER_PATTERNS_MAX,
    ORDER_CHARS_MAX,
    ORDER_TERMS_MAX,
    PATTERN_CHARS_MAX,
    parse_aggregate,
    parse_filter,
    parse_group_by,
    parse_group_order,
    parse_order,
)
from penstock_kit.search.grouping import (
    AGGREGATES_MAX,
    GROUP_FIELDS_MAX,
    FoundGroups,
    Group,
    GroupPosition,
    group,
)
from penstock_kit.search.ordering import ORDER_TEXT_CHARS_MAX, Found, Position, find
from penstock_kit.search.sorting import PositionInvalid
from penstock_kit.search.syntax import (
    ATTRIBUTES,
    Aggregate,
    And,
    ColumnType,
    Comparison,
    Expression,
    Field,
    Function,
    GroupTerm,
    Literal,
    Membership,
    Not,
    Operator,
    Or,
    OrderTerm,
    Presence,
    Resemblance,
    Schema,
    fields_of,
)
from penstock_kit.search.table import Table
from penstock_kit.search.values import Value

__all__ = [
    "AGGREGATES_MAX",
    "ATTRIBUTES",
    "FIELD_CHARS_MAX",
    "FILTER_CHARS_MAX",
    "FILTER_CLAUSES_MAX",
    "FILTER_DEPTH_MAX",
    "FILTER_MATCH_CHARS_MAX",
    "FILTER_PATTERNS_MAX",
    "GROUP_FIELDS_MAX",
    "ORDER_CHARS_MAX",
    "ORDER_TERMS_MAX",
    "ORDER_TEXT_CHARS_MAX",
    "PATTERN_CHARS_MAX",
    "Aggregate",
    "AggregateInvalid",
    "And",
    "ByteBoundedCache",
    "ColumnType",
    "Comparison",
    "Expression",
    "Field",
    "FilterInvalid",
    "FilterTooCostly",
    "Found",
    "FoundGroups",
    "Function",
    "Group",
    "GroupByInvalid",
    "GroupPosition",
    "GroupTerm",
    "Literal",
    "Membership",
    "MetricCell",
    "Not",
    "Operator",
    "Or",
    "OrderInvalid",
    "OrderTerm",
    "Position",
    "PositionInvalid",
    "Presence",
    "QueryInvalid",
    "Resemblance",
    "Schema",
    "Table",
    "Value",
    "fields_of",
    "find",
    "group",
    "matches",
    "parse_aggregate",
    "parse_filter",
    "parse_group_by",
    "parse_group_order",
    "parse_order",
]
