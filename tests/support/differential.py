"""The same requests to MLflow's own server and to ours, and answers that must be equal.

Each side gives its own ids. A test names them, and from then on requests may say `<name>`; in answers every id is its name.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from penstock_kit.ids import random_id

__all__ = ["Answer", "Pair", "Side"]

VOLATILE = frozenset(
    ["creation_time", "last_update_time", "webhook_id"]
    + [f"{what}{unit}" for what in ("creation_timestamp", "last_updated_timestamp") for unit in ("", "_ms")]
)
"""Times that a server takes from its clock."""

HOLD_NUMBERS = frozenset({"experiment_id", "artifact_location", "artifact_uri", "root_uri"})
"""Where the number of an experiment may stand."""


@dataclass
class Answer:
    """What a server answered: its HTTP code, and its JSON; of an error no more than what MLflow documents."""

    status: int
    json: Any


@dataclass
class Side:
    """One of the servers.

    Attributes:
        http: A client of it, at its tracking URI.
        names: Its ids, by the names that the test gave them.
    """

    http: httpx2.Client
    names: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, body: Any, query: Mapping[str, Any]) -> Answer:
        """Makes a request below `/api`."""
        path, body, query = self._filled(path), self._filled(body), self._filled(dict(query))
        if isinstance(body, bytes):
            options: dict[str, Any] = {"content": body, "headers": {"Content-Type": "application/json"}}
        else:
            options = {} if body is None else {"json": body}
        answer = self.http.request(method, f"api/{path}", params=query, **options)
        try:
            return Answer(answer.status_code, answer.json())
        except ValueError:
            return Answer(answer.status_code, answer.text)

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str):
            return re.sub(r"<(\w+)>", lambda match: self.names.get(match[1], match[0]), value)
        if isinstance(value, dict):
            return {key: self._filled(inner) for key, inner in value.items()}
        return [self._filled(inner) for inner in value] if isinstance(value, list) else value

    def normal(self, value: Any, key: str = "") -> Any:
        """An answer with names for ids, without times, lists of keys in order. `key` is where it stands."""
        if isinstance(value, dict):
            if "error_code" in value:
                value = {name: value[name] for name in ("error_code", "message") if name in value}
            return {name: 0 if name in VOLATILE else self.normal(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            inner = [self.normal(one, key) for one in value]
            keys = [one.get("key") if isinstance(one, dict) else None for one in inner]
            # What has a key once each comes in no order; the history of a metric has one.
            if None in keys or len(set(keys)) < len(keys):
                return inner
            return sorted(inner, key=lambda one: one["key"])
        if isinstance(value, str):
            for name, own in sorted(self.names.items(), key=lambda item: -len(item[1])):
                if len(own) > 8:
                    value = value.replace(own, f"<{name}>")
                    continue
                # Where files of a run are: its own id has its name by now.
                value = re.sub(rf"(?<![\w.-]){re.escape(own)}(?=/<\w+>/artifacts)", f"<{name}>", value)
                if key in HOLD_NUMBERS:
                    value = re.sub(rf"(?<![\w.-]){re.escape(own)}(?![\w.-])", f"<{name}>", value)
                elif key == "source":  # other numbers there are a version's, or the test's own
                    value = re.sub(rf"^(mlflow-artifacts:/){re.escape(own)}(?=/)", rf"\1<{name}>", value)
                elif key == "message":
                    value = re.sub(rf"(experiment (?:with id )?|id=){re.escape(own)}\b", rf"\1<{name}>", value)
        return value


class Pair:
    """Ours and theirs.

    Args:
        ours: The side under test.
        theirs: MLflow's.

    Attributes:
        mark: For names that are new on both sides.
    """

    def __init__(self, ours: Side, theirs: Side) -> None:
        self.ours = ours
        self.theirs = theirs
        self.mark = random_id()

    def both(
        self, method: str, path: str, body: Any = None, *, query: Mapping[str, Any] | None = None
    ) -> tuple[Answer, Answer]:
        """Makes a request to both. Returns the answers, ours first, as they compare."""
        answers = [side.call(method, path, body, query or {}) for side in (self.ours, self.theirs)]
        for side, answer in zip((self.ours, self.theirs), answers, strict=True):
            answer.json = side.normal(answer.json)
        return answers[0], answers[1]

    def same(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        learn: Mapping[str, str] | None = None,
        status: int | None = None,
    ) -> Any:
        """Makes a request to both, whose answers must be equal. Returns the JSON.

        Args:
            method: Of HTTP.
            path: Below `/api`.
            body: JSON, or bytes as they are.
            query: The query.
            learn: By a name, where in the answer the id is that it names from now on, such as `run.info.run_id`.
            status: The HTTP code that is expected of both; None means any below 400.
        """
        answers = [side.call(method, path, body, query or {}) for side in (self.ours, self.theirs)]
        for name, place in (learn or {}).items():
            assert [answer.status for answer in answers] == [200, 200], (path, body, answers)
            for side, answer in zip((self.ours, self.theirs), answers, strict=True):
                found = answer.json
                for part in place.split("."):
                    found = found[int(part)] if part.isdecimal() else found[part]
                side.names[name] = found
        for side, answer in zip((self.ours, self.theirs), answers, strict=True):
            answer.json = side.normal(answer.json)
        ours, theirs = answers
        told = f"{method} {path} {body if body is not None else query}"
        assert (ours.status, ours.json) == (theirs.status, theirs.json), (
            f"{told[:1_000]}\nours:   {ours.status} {json.dumps(ours.json, sort_keys=True)[:3_000]}"
            f"\ntheirs: {theirs.status} {json.dumps(theirs.json, sort_keys=True)[:3_000]}"
        )
        if status is None:
            assert ours.status < 400, f"{told}: {ours.json}"
        else:
            assert ours.status == status, f"{told}: {ours.json}"
        return ours.json

    def get(self, path: str, **options: Any) -> Any:
        """`same` for a GET of `/api/2.0/mlflow/...`."""
        return self.same("GET", f"2.0/mlflow/{path}", **options)

    def post(self, path: str, body: Any, **options: Any) -> Any:
        """`same` for a POST to `/api/2.0/mlflow/...`."""
        return self.same("POST", f"2.0/mlflow/{path}", body, **options)
