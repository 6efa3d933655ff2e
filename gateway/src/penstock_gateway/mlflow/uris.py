"""URIs of artifacts, as MLflow's clients use them. No server opens one: they are checked, kept and handed back."""

import re
from typing import Final
from urllib.parse import unquote, urlsplit

from penstock_gateway.mlflow.errors import invalid

__all__ = ["below", "checked_location", "default_location"]

LOCATION_CHARS_MAX: Final = 2_048
SCHEMES: Final = frozenset(
    ["s3", "r2", "b2", "gs", "wasb", "wasbs", "abfs", "abfss", "adl", "dbfs", "hdfs", "viewfs", "mlflow-artifacts"]
)
"""Stores that clients reach by themselves, and ours. Not `file`, `http` or a path: which machine's would that be?"""

_CONTROL: Final = re.compile(r"[\x00-\x20\x7f\\;#]")
_DECODED_TIMES_MAX: Final = 10


def default_location(experiment_id: str) -> str:
    """Where the artifacts of an experiment are unless it says otherwise: here."""
    return f"mlflow-artifacts:/{experiment_id}"


def below(location: str, *parts: str) -> str:
    """A location further down, before its query if it has one."""
    path, question, query = location.partition("?")
    return "/".join([path.rstrip("/"), *parts]) + question + query


def checked_location(location: str) -> str:
    """The artifact location of a new experiment. Raises `MlflowError` unless it is the URI of a store that clients reach.

    Refused are paths, also with a drive or a host before them, `..` in any coding, backslashes, parameters and fragments.
    """
    if len(location) > LOCATION_CHARS_MAX:
        raise invalid(
            "Invalid artifact path length. The length of the artifact path cannot be greater than "
            f"{LOCATION_CHARS_MAX} characters."
        )
    plain = location
    for _ in range(_DECODED_TIMES_MAX):
        decoded = unquote(plain)
        if decoded == plain:
            break
        plain = decoded
    else:
        raise invalid("'artifact_location' is encoded too often.")
    if _CONTROL.search(plain):
        raise invalid("'artifact_location' URL can't include fragments or params, backslashes or spaces.")
    try:
        parts = urlsplit(plain)
    except ValueError:
        raise invalid("'artifact_location' is not a URI.") from None
    if parts.scheme not in SCHEMES:
        raise invalid(
            f"Invalid artifact location {location!r}: expected a URI of one of {', '.join(sorted(SCHEMES))}. "
            "A path would be one of the server's machine."
        )
    if ".." in parts.path.split("/") or ".." in parts.netloc or ".." in parts.query:
        raise invalid("Invalid path")
    return location
