"""The request that a delivery makes: to a server of one's own as a signed CloudEvent, to a CI system as it wants it.

Sources: Standard Webhooks 1.0.0 (signature scheme `v1`), CloudEvents 1.0.2 (JSON format, structured mode), MLflow 3.17
(`mlflow/webhooks/delivery.py`).
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from penstock_registry.domain import Event
from penstock_registry.events import mlflow
from penstock_registry.events.domain import (
    GitHubTarget,
    GitLabTarget,
    HttpTarget,
    JenkinsTarget,
    MlflowTarget,
    Webhook,
)
from penstock_registry.events.secrets import SecretBox

__all__ = ["SECRET_PREFIX", "Request", "event_content", "request_of", "secret_text", "signature"]

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix that the standard names, no secret
GITHUB_API = "https://api.github.com"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONG = frozenset({"setTags", "removedTags", "description"})


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP POST. Headers may hold secrets: they are left out of what this prints as."""

    url: str
    headers: dict[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Request({self.url!r})"


def secret_text(secret: bytes) -> str:
    """A secret as receivers are given it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def signature(secrets: Sequence[bytes], message_id: str, time_s: int, body: bytes) -> str:
    """The value of the header `webhook-signature`, with a signature for each secret."""
    signed = f"{message_id}.{time_s}.".encode() + body
    return " ".join(
        f"v1,{base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()}" for secret in secrets
    )


def event_content(project: str, event: Event) -> dict[str, Any]:
    """An event as its data is told to receivers: the fields of the contract, in JSON."""
    model = f"projects/{project}/models/{event.model_id}"
    content = {
        "id": event.id,
        "type": f"EVENT_TYPE_{event.type.name}",
        "time": _iso(event.time_us),
        "principal": event.principal,
        "model": model,
        "version": str(event.version) if event.version else "",
        "alias": event.alias,
        "formerVersion": str(event.former_version) if event.former_version else "",
        "formerModel": f"projects/{project}/models/{event.former_model_id}" if event.former_model_id else "",
        "reason": event.reason,
        "verdict": f"{model}/verdicts/{event.verdict}" if event.verdict else "",
        "passed": event.passed,
        "formerStage": event.former_stage,
        "stage": event.stage,
        "chainLength": event.chain_length,
        "setTags": dict(event.set_tags),
        "removedTags": list(event.removed_tags),
        "description": event.description,
        "sourceUri": event.source_uri,
        "run": f"projects/{project}/runs/{event.run_id}" if event.run_id else "",
        "prompt": event.prompt,
    }
    return {name: value for name, value in content.items() if value}


def request_of(webhook: Webhook, event: Event, now_us: int, box: SecretBox, number: int = 0) -> Request:
    """The request that tells a webhook of an event: the `number`-th of `Webhook.requests`. Raises `SecretUnreadable`."""
    project = webhook.project
    content = event_content(project, event)
    signing = [box.open(sealed) for sealed in webhook.signing_secrets(now_us)]
    match webhook.target:
        case HttpTarget(url):
            body = _json(
                {
                    "specversion": "1.0",
                    "id": event.id,
                    "source": f"/projects/{project}",
                    "type": f"penstock.registry.{event.type.name.lower().replace('_', '.')}",
                    "subject": content["model"],
                    "time": content["time"],
                    "datacontenttype": "application/json",
                    "data": content,
                }
            )
            time_s = now_us // 1_000_000
            headers = {
                "content-type": "application/cloudevents+json; charset=utf-8",
                "webhook-id": event.id,
                "webhook-timestamp": str(time_s),
                "webhook-signature": signature(signing, event.id, time_s, body),
            }
            return Request(url, headers, body)
        case MlflowTarget(url, events):
            telling = mlflow.tellings(event, events)[number]
            entity, _, action = telling.event.partition(".")
            # Receivers may compare times as texts: MLflow writes the offset, not `Z`.
            time = _iso(event.time_us).replace("Z", "+00:00")
            body = json.dumps({"entity": entity, "action": action, "timestamp": time, "data": telling.data}).encode()
            delivery, time_s = mlflow.delivery_id(webhook.id, event, number), now_us // 1_000_000
            headers = {
                "content-type": "application/json",
                "x-mlflow-delivery-id": delivery,
                "x-mlflow-timestamp": str(time_s),
            }
            if signing:
                headers["x-mlflow-signature"] = signature(signing, delivery, time_s, body)
            return Request(url, headers, body)
        case GitHubTarget(api_url, repository, workflow, ref, token):
            url = f"{(api_url or GITHUB_API).rstrip('/')}/repos/{repository}/actions/workflows/{workflow}/dispatches"
            headers = {
                "accept": "application/vnd.github+json",
                "authorization": f"Bearer {box.open(token).decode()}",
                "content-type": "application/json",
                "user-agent": "penstock",
                "x-github-api-version": "2022-11-28",
            }
            return Request(url, headers, _json({"ref": ref, "inputs": _inputs(webhook, event, content)}))
        case GitLabTarget(url, gitlab_project, ref, token):
            place = f"{url.rstrip('/')}/api/v4/projects/{quote(gitlab_project, safe='')}/trigger/pipeline"
            variables = {
                f"variables[{name.upper()}]": value for name, value in _inputs(webhook, event, content).items()
            }
            form = {"token": box.open(token).decode(), "ref": ref, **variables}
            return Request(place, {"content-type": "application/x-www-form-urlencoded"}, urlencode(form).encode())
        case JenkinsTarget(job_url, user, token):
            basic = base64.b64encode(f"{user}:".encode() + box.open(token)).decode()
            headers = {"authorization": f"Basic {basic}", "content-type": "application/x-www-form-urlencoded"}
            form = {name.upper(): value for name, value in _inputs(webhook, event, content).items()}
            return Request(f"{job_url.rstrip('/')}/buildWithParameters", headers, urlencode(form).encode())


def _inputs(webhook: Webhook, event: Event, content: dict[str, Any]) -> dict[str, str]:
    """What a CI system is given: few plain texts, and the event without what may be long, which some refuse."""
    short = {name: value for name, value in content.items() if name not in _LONG}
    key = webhook.key(event)
    return {
        "penstock_event": json.dumps(short, ensure_ascii=False),
        "penstock_model": content["model"],
        "penstock_version": content.get("version", ""),
        "penstock_alias": content.get("alias", ""),
        # To be sent back in the environment of whatever the job does here: see `Webhook.chain_length_max`.
        "penstock_chain_length": str(content.get("chainLength", 0) + 1),
        # For the CI system's own means against jobs that overlap, which take few characters: equal for deliveries of one key.
        "penstock_concurrency_key": hashlib.sha256(key.encode()).hexdigest()[:32] if key else event.id,
    }


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _iso(time_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat().replace("+00:00", "Z")
