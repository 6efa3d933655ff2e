"""URIs of artifacts, as MLflow's clients use them. No server opens one: they are checked, kept and handed back."""

import re
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from penstock_gateway.mlflow.errors import invalid

__all__ = [
    "KEPT_HERE",
    "below",
    "checked_location",
    "checked_source",
    "decoded",
    "default_location",
    "is_below",
    "scheme_of",
]

LOCATION_CHARS_MAX: Final = 2_048
SOURCE_CHARS_MAX: Final = 2_000
SCHEMES: Final = frozenset(
    ["s3", "r2", "b2", "gs", "wasb", "wasbs", "abfs", "abfss", "adl", "dbfs", "hdfs", "viewfs", "mlflow-artifacts"]
)
"""Stores that clients reach by themselves, and ours. Not `file`, `http` or a path: which machine's would that be?"""

SOURCE_SCHEMES: Final = SCHEMES | {"runs", "models"}

KEPT_HERE: Final = "mlflow-artifacts:"
"""What the URIs of files begin with that this server keeps."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\\;#]")
_DECODED_TIMES_MAX: Final = 10


def default_location(experiment_id: str) -> str:
    """Where the artifacts of an experiment are unless it says otherwise: here."""
    return f"{KEPT_HERE}/{experiment_id}"


def below(location: str, *parts: str) -> str:
    """A location further down, before its query if it has one."""
    path, question, query = location.partition("?")
    return "/".join([path.rstrip("/"), *parts]) + question + query


def is_below(uri: str, root: str) -> bool:
    """Whether a URI, which holds no `..`, is a location or something below it."""
    return uri.rstrip("/") == root.rstrip("/") or uri.startswith(root.rstrip("/") + "/")


def checked_location(location: str) -> str:
    """The artifact location of a new experiment. Raises `MlflowError` unless it is the URI of a store that clients reach.

    Refused are paths, also with a drive or a host before them, `..` in any coding, backslashes, parameters and fragments.
    """
    if len(location) > LOCATION_CHARS_MAX:
        raise invalid(
            "Invalid artifact path length. The length of the artifact path cannot be greater than "
            f"{LOCATION_CHARS_MAX} characters."
        )
    parts = _plain_parts(location, "artifact_location")
    if parts.scheme not in SCHEMES:
        raise invalid(
            f"Invalid artifact location {location!r}: expected a URI of one of {', '.join(sorted(SCHEMES))}. "
            "A path would be one of the server's machine."
        )
    return location


def checked_source(source: str) -> str:
    """The source of a version. Raises `MlflowError` for a path, and as `checked_location` for what leads astray."""
    if len(source) > SOURCE_CHARS_MAX:
        raise invalid(f"'source' exceeds the maximum length of {SOURCE_CHARS_MAX} characters")
    parts = _plain_parts(source, "source")
    if len(parts.scheme) < 2 or parts.scheme == "file":  # one letter is a drive
        raise invalid(
            f"Invalid model version source: '{source}'. To use a local path as a model version source, the run_id request "
            "parameter has to be specified and the local path has to be contained within the artifact directory of the run "
            "specified by the run_id."
        )
    if parts.scheme not in SOURCE_SCHEMES:
        raise invalid(f"'source' cannot use the '{parts.scheme}' scheme: it is not one of a store that clients reach.")
    return source


def scheme_of(uri: str) -> str:
    """The scheme of a URI."""
    return uri.partition(":")[0]


def decoded(value: str, what: str) -> str:
    """A value without percent coding, in however many layers. Raises `MlflowError` for too many."""
    for _ in range(_DECODED_TIMES_MAX):
        plain = unquote(value)
        if plain == value:
            return plain
        value = plain
    raise invalid(f"'{what}' is encoded too often.")


def _plain_parts(uri: str, what: str) -> SplitResult:
    """The parts of a URI, decoded. Raises `MlflowError` for what no URI of ours holds."""
    plain = decoded(uri, what)
    if _CONTROL.search(plain):
        raise invalid(f"'{what}' URL can't include fragments or params, backslashes or control characters.")
    try:
        parts = urlsplit(plain)
    except ValueError:
        raise invalid(f"'{what}' is not a URI.") from None
    if ".." in parts.path.split("/") or ".." in parts.netloc or ".." in parts.query:
        raise invalid("Invalid path")
    return parts
