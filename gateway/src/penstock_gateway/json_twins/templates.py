"""Path templates of `google.api.http`: `/api/v1/{name=projects/*/runs/*}:finish`.

A template is literal segments, `*` for one segment, variables `{field}` or `{field=pattern}` made of these, and an optional
verb after the last colon. `**` is not among them: no path of Penstock has an open end.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from penstock_gateway.errors import PathInvalid

__all__ = ["ANY", "PathTemplate", "RequestPath", "Variable"]

ANY = "*"
"""The segment that any one segment matches."""

_VARIABLE = re.compile(r"\{(?P<field>[a-z0-9_.]+)(?:=(?P<pattern>[^{}]+))?\}")
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+|\*")


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable: the request field it fills, a dotted path, from the segments `first` up to but without `end`."""

    field: str
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class RequestPath:
    """The path of a request: decoded segments and the verb, empty if there is none."""

    segments: tuple[str, ...]
    verb: str

    @classmethod
    def parse(cls, raw: bytes) -> "RequestPath":
        """Reads a path as it came over the wire. Raises `PathInvalid`.

        Each segment is decoded once, by itself: an encoded slash can never become a separator, and what only makes sense to
        a file system (`.`, `..`, control characters) is refused.
        """
        if not raw.startswith(b"/"):
            raise PathInvalid("The path does not start with a slash.")
        *head, last = raw[1:].split(b"/")
        verb = b""
        if b":" in last:
            last, _, verb = last.rpartition(b":")
        return cls(tuple(_decode(segment) for segment in (*head, last)), _decode(verb))


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A compiled template."""

    segments: tuple[str, ...]
    variables: tuple[Variable, ...]
    verb: str

    @classmethod
    def parse(cls, text: str) -> "PathTemplate":
        """Compiles a template. Raises `ValueError`: it comes from our own contract."""
        variables: list[Variable] = []
        segments: list[str] = []
        rest = text
        if not rest.startswith("/"):
            raise ValueError(f"{text!r}: a template starts with a slash.")
        while rest.startswith("/"):
            rest = rest[1:]
            if match := _VARIABLE.match(rest):
                parts = (match["pattern"] or ANY).split("/")
                variables.append(Variable(match["field"], len(segments), len(segments) + len(parts)))
            elif match := _SEGMENT.match(rest):
                parts = [match[0]]
            else:
                raise ValueError(f"{text!r}: no segment at {rest!r}.")
            if not all(_SEGMENT.fullmatch(part) for part in parts):
                raise ValueError(f"{text!r}: {match[0]!r} is no pattern of literals and *.")
            segments.extend(parts)
            rest = rest[match.end() :]
        if rest and not re.fullmatch(r":[A-Za-z]+", rest):
            raise ValueError(f"{text!r}: {rest!r} is no verb.")
        return cls(tuple(segments), tuple(variables), rest[1:])

    def match(self, path: RequestPath) -> dict[str, str] | None:
        """The values of the variables by field, None if the path does not match."""
        if path.verb != self.verb or len(path.segments) != len(self.segments):
            return None
        for wanted, given in zip(self.segments, path.segments, strict=True):
            if not given if wanted == ANY else given != wanted:
                return None
        return {v.field: "/".join(path.segments[v.first : v.end]) for v in self.variables}


def _decode(raw: bytes) -> str:
    try:
        text = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise PathInvalid("The path is not UTF-8.") from error
    if text in {".", ".."} or "/" in text or "\\" in text or not text.isprintable():
        raise PathInvalid(f"{text!r} cannot be a part of a path here.")
    return text
