"""What can be wrong with the texts of a query, told with the text and a caret under the offending place."""

from penstock_kit.errors import InvalidInput, LimitExceeded

__all__ = ["AggregateInvalid", "FilterInvalid", "FilterTooCostly", "GroupByInvalid", "OrderInvalid", "QueryInvalid"]

SNIPPET_CHARS = 72  # of a long text, only this much is shown around the offending place


class QueryInvalid(InvalidInput):
    """A filter, an order, a field to group by or an aggregate cannot be understood.

    Args:
        problem: What is wrong and what was expected, in one or two sentences.
        text: The whole text.
        position: Where it is wrong, in characters from 0; `len(text)` is its end.
        token: The offending piece, empty at the end of the text.
    """

    def __init__(self, problem: str, text: str, position: int, token: str) -> None:
        first = max(0, min(position - SNIPPET_CHARS // 2, len(text) - SNIPPET_CHARS))
        # Line breaks and control characters would put the caret elsewhere.
        snippet = "".join(c if c.isprintable() else " " for c in text[first : first + SNIPPET_CHARS])
        caret = " " * (position - first) + "^"
        super().__init__(f"{problem}\n{snippet}\n{caret}", position=str(position), token=token[:SNIPPET_CHARS])


class FilterInvalid(QueryInvalid):
    """A filter cannot be understood."""

    reason = "FILTER_INVALID"


class FilterTooCostly(LimitExceeded):
    """The patterns of a filter would be compared with too much text."""

    reason = "FILTER_TOO_COSTLY"


class OrderInvalid(QueryInvalid):
    """An order cannot be understood."""

    reason = "ORDER_INVALID"


class GroupByInvalid(QueryInvalid):
    """A field to group by cannot be understood, or makes no groups."""

    reason = "GROUP_BY_INVALID"


class AggregateInvalid(QueryInvalid):
    """An aggregate cannot be understood."""

    reason = "AGGREGATE_INVALID"
