"""Rules and limits of MLflow for keys and values of runs, and the texts with which it refuses what breaks them."""

import posixpath
import re
from collections.abc import Sequence
from typing import Any, Final

from penstock_gateway.mlflow.errors import MlflowError, invalid
from penstock_gateway.mlflow.fields import shown

__all__ = [
    "TIME_MS_MAX",
    "check_batch_limits",
    "check_experiment_tag",
    "check_key",
    "check_metric",
    "check_model_tag",
    "check_unique_params",
    "cut_param",
    "cut_tag",
]

KEY_CHARS_MAX: Final = 250
PARAM_CHARS_MAX: Final = 6_000  # longer values are cut
TAG_CHARS_MAX: Final = 8_000  # likewise
EXPERIMENT_TAG_CHARS_MAX: Final = 20_000
MODEL_TAG_CHARS_MAX: Final = 100_000
METRICS_PER_BATCH_MAX: Final = 1_000
PARAMS_PER_BATCH_MAX: Final = 100
TAGS_PER_BATCH_MAX: Final = 100
ENTRIES_PER_BATCH_MAX: Final = 1_000
TIME_MS_MAX: Final = 2**63 // 1_000 - 1  # times are kept in microseconds

_KEY: Final = re.compile(r"[/\w.\- :]*")
_PLAIN: Final = re.compile(r"\w+")  # most keys: nothing to normalise


def check_key(key: str, path: str) -> None:
    """Checks the characters of a key. Raises `MlflowError` with the place `path`."""
    if _PLAIN.fullmatch(key):
        return
    if not _KEY.fullmatch(key):
        raise _wrong(
            path,
            key,
            "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and "
            "slashes (/).",
        )
    resolved = posixpath.normpath(key)
    if resolved != key or resolved == "." or resolved.startswith(("..", "/")):
        raise _wrong(
            path,
            key,
            "Names may be treated as files in certain cases, and must not resolve to other names when treated as such. "
            f"This name would resolve to {resolved!r}",
        )


def check_metric(key: str, value: float, time_ms: int, path: str = "") -> None:
    """Checks a point of a metric. Raises `MlflowError`."""
    check_key(key, _join(path, "name"))
    if not 0 <= time_ms <= TIME_MS_MAX:
        raise _wrong(
            _join(path, "timestamp"),
            time_ms,
            f"metric '{key}' (value={value}). Timestamp must be a nonnegative long (64-bit integer) ",
        )
    _check_length("Metric name", KEY_CHARS_MAX, key)


def cut_param(key: str, value: str, path: str = "") -> tuple[str, str]:
    """A param that may be logged, its value cut to its limit. Raises `MlflowError`."""
    check_key(key, _join(path, "key"))
    _check_length("Param key", KEY_CHARS_MAX, key)
    return key, value[:PARAM_CHARS_MAX]


def cut_tag(key: str, value: str, path: str = "") -> tuple[str, str]:
    """A tag of a run that may be set, its value cut to its limit. Raises `MlflowError`."""
    check_key(key, _join(path, "key"))
    _check_length(_join(path, "key"), KEY_CHARS_MAX, key)
    return key, value[:TAG_CHARS_MAX]


def check_experiment_tag(key: str, value: str) -> None:
    """Checks a tag of an experiment. Raises `MlflowError`."""
    check_key(key, "key")
    _check_length("key", KEY_CHARS_MAX, key)
    _check_length("value", EXPERIMENT_TAG_CHARS_MAX, value)


def check_model_tag(key: str, value: str) -> None:
    """Checks a tag of a registered model or a version. Raises `MlflowError`."""
    check_key(key, "key")
    _check_length("key", KEY_CHARS_MAX, key)
    _check_length("value", MODEL_TAG_CHARS_MAX, value)


def check_batch_limits(metrics: int, params: int, tags: int) -> None:
    """Checks how much a batch holds. Raises `MlflowError`."""
    for what, limit, length in (
        ("metrics", METRICS_PER_BATCH_MAX, metrics),
        ("params", PARAMS_PER_BATCH_MAX, params),
        ("tags", TAGS_PER_BATCH_MAX, tags),
        ("metrics, params, and tags", ENTRIES_PER_BATCH_MAX, metrics + params + tags),
    ):
        if length > limit:
            raise invalid(
                f"A batch logging request can contain at most {limit} {what}. Got {length} {what}. Please split up "
                f"{what} across multiple requests and try again."
            )


def check_unique_params(keys: Sequence[str]) -> None:
    """Checks that no param is twice in a batch. Raises `MlflowError`."""
    if len(set(keys)) == len(keys):
        return
    seen: set[str] = set()
    again = [key for key in keys if key in seen or seen.add(key)]
    raise invalid(
        f"Duplicate parameter keys have been submitted: {again}. Please ensure the request contains only one param value "
        "per param key."
    )


def _check_length(what: str, limit: int, value: str) -> None:
    if len(value) > limit:
        raise invalid(f"'{what}' exceeds the maximum length of {limit} characters")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _wrong(path: str, value: Any, problem: str) -> MlflowError:
    return invalid(f"Invalid value {shown(value)} for parameter '{path}' supplied: {problem}")
