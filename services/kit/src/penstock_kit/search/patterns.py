"""LIKE patterns: `%` is any text, `_` any one character, a backslash makes the next character plain."""

import re2

__all__ = ["LikePattern", "PatternInvalid"]


class PatternInvalid(ValueError):
    """The pattern ends in a backslash that escapes nothing."""


class LikePattern:
    """A pattern made ready. Matching takes time linear in the text, whatever the pattern: the engine never backtracks.

    Args:
        pattern: The pattern.
        ignore_case: Whether letters match in either case, by Unicode's simple case folding.

    Raises:
        PatternInvalid: It ends in a backslash that escapes nothing.
    """

    def __init__(self, pattern: str, *, ignore_case: bool) -> None:
        # Runs of `%` mean the same as one, and cost states.
        pieces: list[str | None] = []  # None: any text
        characters = iter(pattern)
        for character in characters:
            if character == "%":
                if not pieces or pieces[-1] is not None:
                    pieces.append(None)
            elif character == "_":
                pieces.append(".")
            elif character == "\\":
                escaped = next(characters, None)
                if escaped is None:
                    raise PatternInvalid
                pieces.append(re2.escape(escaped))
            else:
                pieces.append(re2.escape(character))
        # What surrounds a bare `%` at an end is free: then the search need not be anchored there.
        start = "" if pieces and pieces[0] is None else r"\A"
        end = "" if pieces and pieces[-1] is None else r"\z"
        body = pieces[1 if not start else 0 : -1 if not end and len(pieces) > 1 else None]
        expression = start + "".join(".*" if piece is None else piece for piece in body) + end
        options = re2.Options()
        options.case_sensitive = not ignore_case
        options.dot_nl = True
        options.never_capture = True
        options.log_errors = False
        self._search = re2.compile(expression, options).search

    def matches(self, text: str) -> bool:
        """Whether the whole text matches."""
        return self._search(text) is not None
