"""LIKE patterns."""

import pytest

from penstock_kit.search.patterns import LikePattern, PatternInvalid


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("", "", True),
        ("", "a", False),
        ("%", "", True),
        ("%", "any\nthing", True),
        ("%%", "x", True),
        ("a%", "abc", True),
        ("a%", "xabc", False),
        ("%c", "abc", True),
        ("%c", "abcd", False),
        ("a_c", "abc", True),
        ("a_c", "ac", False),
        ("_", "€", True),
        ("_", "\n", True),
        ("a\\%", "a%", True),
        ("a\\%", "ab", False),
        ("a\\_", "a_", True),
        ("\\\\", "\\", True),
        ("a.c", "abc", False),
        ("(a|b)*", "(a|b)*", True),
        ("ABC", "abc", False),
        ("a\n", "a\n", True),
        ("a", "a\n", False),
        ("ab%b", "ab", False),
        ("ab%b", "abb", True),
        ("a%b%c", "a-b-b-c", True),
        ("a%b%c", "ac", False),
        ("a%bc%c", "abc", False),
        ("%a%a%", "ba", False),
        ("%a%a%", "baa", True),
    ],
)
def test_like(pattern: str, text: str, expected: bool) -> None:
    made = LikePattern(pattern, ignore_case=False)
    assert made.matches(text) is expected
    assert made.matches_each([text, text]) == [expected, expected]


def test_ilike_ignores_case_of_all_alphabets() -> None:
    assert LikePattern("rÉs%Ω", ignore_case=True).matches("RéSnetω")
    kelvin = "\u212a"  # folds to k
    assert LikePattern("%K%", ignore_case=True).matches_each(["ok", "OK", kelvin, "q"]) == [True, True, True, False]
    assert LikePattern(f"%{kelvin}%", ignore_case=True).matches_each(["ok", "q"]) == [True, False]


def test_a_lone_backslash_at_the_end_is_refused() -> None:
    with pytest.raises(PatternInvalid):
        LikePattern("a\\\\\\", ignore_case=False)


def test_a_hostile_pattern_ends() -> None:
    # A matcher that backtracks would take longer than the universe is old.
    assert not LikePattern("%a" * 500, ignore_case=True).matches("a" * 499 + "b" * 8_000)
