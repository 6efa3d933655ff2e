"""Filters and orders in text: what they mean, and what is said of those that mean nothing."""

import pytest

from penstock_kit.search import (
    FILTER_CHARS_MAX,
    FILTER_CLAUSES_MAX,
    FILTER_DEPTH_MAX,
    FILTER_PATTERNS_MAX,
    ORDER_CHARS_MAX,
    ORDER_TERMS_MAX,
    PATTERN_CHARS_MAX,
    And,
    ColumnType,
    Comparison,
    Expression,
    Field,
    FilterInvalid,
    Membership,
    Not,
    Operator,
    Or,
    OrderInvalid,
    OrderTerm,
    Presence,
    Resemblance,
    Schema,
    parse_filter,
    parse_order,
)

SCHEMA = Schema(
    attributes={"state": ColumnType.VALUE, "start_time": ColumnType.TIME, "duration": ColumnType.NUMBER},
    aliases={"status": "state"},
    collections={"params": ColumnType.VALUE, "tags": ColumnType.VALUE, "metrics": ColumnType.METRIC},
)
STATE = Field("", "state", ColumnType.VALUE)
LR = Field("params", "lr", ColumnType.VALUE)
START = Field("", "start_time", ColumnType.TIME)


def metric(key: str, aspect: str = "last") -> Field:
    return Field("metrics", key, ColumnType.METRIC, aspect)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("state = 'A'", Comparison(STATE, Operator.EQ, "A")),
        ('status=="A"', Comparison(STATE, Operator.EQ, "A")),
        ("state <> 'it''s'", Comparison(STATE, Operator.NE, "it's")),
        ('state != "say ""hi"""', Comparison(STATE, Operator.NE, 'say "hi"')),
        ("params.lr < 1e-3", Comparison(LR, Operator.LT, 0.001)),
        ("params.lr>=-.5", Comparison(LR, Operator.GE, -0.5)),
        ("params.lr <= -INF", Comparison(LR, Operator.LE, float("-inf"))),
        ("params.lr > +3.", Comparison(LR, Operator.GT, 3.0)),
        ("params.lr = TRUE", Comparison(LR, Operator.EQ, True)),
        ('params."lr" = 1', Comparison(LR, Operator.EQ, 1.0)),
        ("params.`a ``key``` = 1", Comparison(Field("params", "a `key`", ColumnType.VALUE), Operator.EQ, 1.0)),
        ("metrics.val/loss-2.x < 1", Comparison(metric("val/loss-2.x"), Operator.LT, 1.0)),
        ("metrics.loss.min < 1", Comparison(metric("loss.min"), Operator.LT, 1.0)),
        ('metrics."val/loss".min < 1', Comparison(metric("val/loss", "min"), Operator.LT, 1.0)),
        ("metrics.`val.max`.max < 1", Comparison(metric("val.max", "max"), Operator.LT, 1.0)),
        ("metrics.and < 1", Comparison(metric("and"), Operator.LT, 1.0)),
        ("params.größe = 1", Comparison(Field("params", "größe", ColumnType.VALUE), Operator.EQ, 1.0)),
        ("state IN ('A', \"B\")", Membership(STATE, ("A", "B"))),
        ("params.lr not in (1, 'x', false)", Membership(LR, (1.0, "x", False), negated=True)),
        ("state LIKE 'a%'", Resemblance(STATE, "a%")),
        ("state not ilike 'a\\_'", Resemblance(STATE, "a\\_", ignore_case=True, negated=True)),
        ("params.lr is null", Presence(LR, present=False)),
        ("params.lr IS NOT NULL", Presence(LR, present=True)),
        ("start_time > 1700000000000", Comparison(START, Operator.GT, 1.7e15)),
        ("start_time > '2026-01-01'", Comparison(START, Operator.GT, 1767225600e6)),
        ("start_time > '2026-01-01T02:00:00.5+02:00'", Comparison(START, Operator.GT, 1767225600.5e6)),
        ("start_time in ('2026-01-01T00:00:00Z')", Membership(START, (1767225600e6,))),
    ],
)
def test_clauses(text: str, expected: Expression) -> None:
    assert parse_filter(text, SCHEMA) == expected


def test_precedence() -> None:
    a, b, c = (Comparison(LR, Operator.EQ, float(number)) for number in (1, 2, 3))
    one, two, three = "params.lr=1", "params.lr=2", "params.lr=3"
    assert parse_filter(f"{one} or {two} and not {three}", SCHEMA) == Or((a, And((b, Not(c)))))
    assert parse_filter(f"({one} OR {two}) AND {three}", SCHEMA) == And((Or((a, b)), c))
    assert parse_filter(f"not not {one} and\n\t{two} and {three}", SCHEMA) == And((Not(Not(a)), b, c))


def test_order() -> None:
    assert parse_order('metrics."val/loss".min desc, start_time,params.lr ASC', SCHEMA) == (
        OrderTerm(metric("val/loss", "min"), descending=True),
        OrderTerm(START),
        OrderTerm(LR),
    )


@pytest.mark.parametrize(
    ("text", "position", "token", "said"),
    [
        ("", 0, "", "Expected a field"),
        ("state", 5, "", "Expected a comparison: =, !="),
        ("state = ", 7, "", "Expected a value"),
        ("state = DONE", 8, "DONE", "A text needs quotes: 'DONE'"),
        ("state = null", 8, "null", "Write IS NULL"),
        ("metrics.a < metrics.b", 12, "metrics.b", "compared with values only"),
        ("'a' = state", 0, "'a'", "The field stands on the left"),
        ("state = 'a", 8, "'", "never closed"),
        ("state = 'it's'", 12, "s", "Expected AND, OR or the end"),
        ('params."a = 1', 7, '"', "never closed"),
        ("params.'a' = 1", 7, "'", "double quotes or backticks"),
        ("params. = 1", 6, ".", "Expected a key after the dot"),
        ("(state = 'a'", 12, "", "a closing parenthesis"),
        ("state = 'a')", 11, ")", "Expected the end"),
        ("state in ('a' 'b')", 14, "'b'", "a comma or a closing parenthesis"),
        ("state in ()", 10, ")", "Expected a value"),
        ("state like 5", 11, "5", "Expected a text in quotes"),
        ("state not = 5", 10, "=", "Expected IN, LIKE or ILIKE"),
        ("state is 5", 9, "5", "Expected NULL"),
        ("state = 'a' && state = 'b'", 12, "&", "Expected AND, OR or the end"),
        ("stat = 'a'", 0, "stat", "Did you mean state?"),
        ("zzz = 'a'", 0, "zzz", "Fields are state, start_time, duration, params.<key>"),
        ("param.a = 1", 0, "param.a", "params., tags., metrics."),
        ('params."" = 1', 0, 'params.""', "empty"),
        ('params."a".min = 1', 0, 'params."a".min', "Only a metric"),
        ('metrics."a".mean = 1', 0, 'metrics."a".mean', ".last, .min and .max"),
        ("metrics.a = 'x'", 12, "'x'", "without quotes"),
        ("metrics.a = true", 12, "true", "expected a number"),
        ("duration like 'a'", 9, "like", "holds no text"),
        ("start_time > 'soon'", 13, "'soon'", "ISO 8601"),
        ("start_time > true", 13, "true", "ISO 8601"),
        ("state like 'a\\'", 11, "'a\\'", "backslash"),
    ],
)
def test_errors_point_at_the_place(text: str, position: int, token: str, said: str) -> None:
    with pytest.raises(FilterInvalid) as caught:
        parse_filter(text, SCHEMA)
    error = caught.value
    assert error.reason == "FILTER_INVALID"
    assert error.metadata == {"position": str(position), "token": token}
    problem, shown, caret = error.message.split("\n")
    assert said in problem
    assert shown == text
    assert caret == " " * position + "^"


def test_a_long_text_is_shown_around_the_place() -> None:
    text = "params.lr = 1 and " * 30 + "params.lr = \n what and params.lr = 1" + " and params.lr = 1" * 30
    with pytest.raises(FilterInvalid) as caught:
        parse_filter(text, SCHEMA)
    _, shown, caret = caught.value.message.split("\n")
    assert shown[len(caret) - 1 :].startswith("what and")
    assert len(shown) <= 72


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("", 0, "Expected a field"),
        ("state up", 6, "Expected ASC, DESC, a comma or the end"),
        ("state,", 6, "Expected a field"),
        ("state desc state", 11, "Expected a comma or the end"),
        ("zzz", 0, "There is no field"),
    ],
)
def test_order_errors(text: str, position: int, said: str) -> None:
    with pytest.raises(OrderInvalid, match=said) as caught:
        parse_order(text, SCHEMA)
    assert caught.value.reason == "ORDER_INVALID"
    assert caught.value.metadata["position"] == str(position)


def test_characters_of_a_filter() -> None:
    parse_filter("state = 'a'".ljust(FILTER_CHARS_MAX), SCHEMA)
    with pytest.raises(FilterInvalid, match="16,385 characters"):
        parse_filter("state = 'a'".ljust(FILTER_CHARS_MAX + 1), SCHEMA)


def test_clauses_of_a_filter() -> None:
    parse_filter(" or ".join(["state<0"] * FILTER_CLAUSES_MAX), SCHEMA)
    with pytest.raises(FilterInvalid, match="at most 1,000 comparisons"):
        parse_filter(" or ".join(["state<0"] * (FILTER_CLAUSES_MAX + 1)), SCHEMA)


@pytest.mark.parametrize(("opening", "closing"), [("(", ")"), ("not ", "")])
def test_depth_of_a_filter(opening: str, closing: str) -> None:
    for depth in (FILTER_DEPTH_MAX, 1):
        parse_filter(opening * depth + "state = 'a'" + closing * depth, SCHEMA)
    for depth in (FILTER_DEPTH_MAX + 1, 2000):
        with pytest.raises(FilterInvalid, match="100 deep"):
            parse_filter(opening * depth + "state = 'a'" + closing * depth, SCHEMA)


def test_patterns_of_a_filter() -> None:
    parse_filter(" or ".join(["state like 'a'"] * FILTER_PATTERNS_MAX), SCHEMA)
    with pytest.raises(FilterInvalid, match="at most 50 LIKEs"):
        parse_filter(" or ".join(["state like 'a'"] * (FILTER_PATTERNS_MAX + 1)), SCHEMA)


def test_length_of_a_pattern() -> None:
    parse_filter(f"state like '{'a' * PATTERN_CHARS_MAX}'", SCHEMA)
    with pytest.raises(FilterInvalid, match="at most 1,000 characters"):
        parse_filter(f"state like '{'a' * (PATTERN_CHARS_MAX + 1)}'", SCHEMA)


def test_limits_of_an_order() -> None:
    parse_order(",".join(["state"] * ORDER_TERMS_MAX).ljust(ORDER_CHARS_MAX), SCHEMA)
    with pytest.raises(OrderInvalid, match="at most 10 terms"):
        parse_order(",".join(["state"] * (ORDER_TERMS_MAX + 1)), SCHEMA)
    with pytest.raises(OrderInvalid, match="4,097 characters"):
        parse_order("state".ljust(ORDER_CHARS_MAX + 1), SCHEMA)
