"""LIKE patterns: `%` is any text, `_` any one character, a backslash makes the next character plain."""

from collections.abc import Sequence

import re2

__all__ = ["LikePattern", "PatternInvalid"]


class PatternInvalid(ValueError):
    """The pattern ends in a backslash that escapes nothing."""


class LikePattern:
    """A pattern made ready. Matching takes time linear in the text, whatever the pattern: nothing here backtracks.

    Args:
        pattern: The pattern.
        ignore_case: Whether letters match in either case, by Unicode's simple case folding.

    Raises:
        PatternInvalid: It ends in a backslash that escapes nothing.
    """

    def __init__(self, pattern: str, *, ignore_case: bool) -> None:
        # What stands between runs of `%`, in characters; None is any one character.
        pieces: list[list[str | None]] = [[]]
        after_any = False
        characters = iter(pattern)
        for character in characters:
            if character == "%":
                if not after_any:  # runs of `%` mean the same as one, and cost states
                    pieces.append([])
                after_any = True
                continue
            after_any = False
            if character == "_":
                pieces[-1].append(None)
            elif character == "\\":
                escaped = next(characters, None)
                if escaped is None:
                    raise PatternInvalid
                pieces[-1].append(escaped)
            else:
                pieces[-1].append(character)
        self._ignore_case = ignore_case
        self._literals = self._as_literals(pieces)
        self._search = self._compiled(pieces)

    def _as_literals(self, pieces: Sequence[Sequence[str | None]]) -> list[str] | None:
        """The pieces as texts that can be looked for, None if that would not be the same."""
        literals: list[str] = []
        for piece in pieces:
            characters = [character for character in piece if character is not None]
            if len(characters) < len(piece):
                return None
            literals.append("".join(characters))
        if not self._ignore_case:
            return literals
        return [literal.lower() for literal in literals] if all(map(str.isascii, literals)) else None

    def _compiled(self, pieces: Sequence[Sequence[str | None]]) -> re2._Regexp:
        # An end that is free need not be anchored.
        start = r"\A" if pieces[0] or len(pieces) == 1 else ""
        end = r"\z" if pieces[-1] or len(pieces) == 1 else ""
        bodies = ["".join("." if one is None else re2.escape(one) for one in piece) for piece in pieces]
        body = ".*".join(bodies[0 if start else 1 : None if end else -1])
        options = re2.Options()
        options.case_sensitive = not self._ignore_case
        options.dot_nl = True
        options.never_capture = True
        options.log_errors = False
        return re2.compile(start + body + end, options)

    def matches(self, text: str) -> bool:
        """Whether the whole text matches."""
        return self._search.search(text) is not None

    def matches_each(self, texts: Sequence[str]) -> list[bool]:
        """For each text, whether the whole of it matches. Looks for the pieces themselves where that is the same."""
        literals = self._literals
        if literals is None:
            search = self._search.search
            return [search(text) is not None for text in texts]
        if self._ignore_case:
            search = self._search.search
            # A letter beyond ASCII may fold to one in it.
            return [_holds(text.lower(), literals) if text.isascii() else search(text) is not None for text in texts]
        if len(literals) == 1:
            return [text == literals[0] for text in texts]
        if literals[1:] == [""]:
            return [text.startswith(literals[0]) for text in texts]
        if len(literals) == 3 and not literals[0] and not literals[2]:
            return [literals[1] in text for text in texts]
        return [_holds(text, literals) for text in texts]


def _holds(text: str, literals: Sequence[str]) -> bool:
    """Whether a text is the literals in order, with any text between them."""
    first, last = literals[0], literals[-1]
    if len(literals) == 1:
        return text == first
    if not text.startswith(first) or not text.endswith(last):
        return False
    place, end = len(first), len(text) - len(last)
    for literal in literals[1:-1]:
        place = text.find(literal, place, end)
        if place < 0:
            return False
        place += len(literal)
    return place <= end
