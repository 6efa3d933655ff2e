"""Webhooks of MLflow: those of the registry whose target takes MLflow's requests. Others are not seen here."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from google.protobuf.field_mask_pb2 import FieldMask

from penstock.api.registry.v1 import event_pb2
from penstock.api.registry.v1 import registry_service_pb2 as pb
from penstock_gateway.errors import RpcFailed, reason_of
from penstock_gateway.mlflow.calls import Call
from penstock_gateway.mlflow.entities import Json, milliseconds, segment
from penstock_gateway.mlflow.errors import MlflowError, invalid, missing
from penstock_gateway.mlflow.fields import Values, choice, integer, items, one, text

__all__ = ["create", "delete", "get", "list_all", "test", "update"]

RESULTS_DEFAULT: Final = 100
RESULTS_MAX: Final = 1_000
ENTITIES: Final = {
    "REGISTERED_MODEL": 1,
    "MODEL_VERSION": 2,
    "MODEL_VERSION_TAG": 3,
    "MODEL_VERSION_ALIAS": 4,
    "PROMPT": 5,
    "PROMPT_VERSION": 6,
    "PROMPT_TAG": 7,
    "PROMPT_VERSION_TAG": 8,
    "PROMPT_ALIAS": 9,
    "BUDGET_POLICY": 10,
}
ACTIONS: Final = {"CREATED": 1, "UPDATED": 2, "DELETED": 3, "SET": 4, "EXCEEDED": 5}
STATUSES: Final = {"ACTIVE": 1, "DISABLED": 2}

_ENTITY_NAMES: Final = {number: name.lower() for name, number in ENTITIES.items()}
_ACTION_NAMES: Final = {number: name.lower() for name, number in ACTIONS.items()}
_TAGS: Final = {"model_version_tag", "prompt_tag", "prompt_version_tag"}
_ALIASES: Final = {"model_version_alias", "prompt_alias"}
_NAME: Final = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE | re.ASCII)
_ID: Final = re.compile(r"[0-9a-f]{32}")
_EVENT: Final = (choice("entity", ENTITIES), choice("action", ACTIONS))


async def create(call: Call) -> Json:
    """Creates a webhook, which fires for what happens from now on."""
    values = call.read(
        text("name", required=True),
        text("url", required=True),
        items("events", *_EVENT, required=True),
        text("description"),
        text("secret"),
        choice("status", STATUSES),
    )
    events = [_event_name(event) for event in values["events"]]
    _check_name(values["name"])
    _check_url(values["url"])
    if not events:
        raise invalid("Webhook events must be a non-empty list of WebhookEvent objects: [].")
    target = event_pb2.MlflowTarget(url=values["url"], events=events, secret=values["secret"])
    webhook = event_pb2.Webhook(
        display_name=values["name"],
        description=values["description"],
        mlflow=target,
        enabled=values["status"] != STATUSES["DISABLED"],
    )
    request = pb.CreateWebhookRequest(parent=call.parent, webhook=webhook)
    return {"webhook": _json((await _to_somewhere(call, "CreateWebhook", request, values["url"])).webhook)}


async def get(call: Call) -> Json:
    """Returns a webhook."""
    return {"webhook": _json(await _found(call))}


async def list_all(call: Call) -> Json:
    """Returns a page of the webhooks, newest first."""
    values = call.read(integer("max_results"), text("page_token"))
    wanted = values["max_results"] or RESULTS_DEFAULT
    if not 1 <= wanted <= RESULTS_MAX:
        raise invalid("max_results must be between 1 and 1000.")
    answer = await call.rpc("ListWebhooks", pb.ListWebhooksRequest(parent=call.parent))
    every = [webhook for webhook in reversed(answer.webhooks) if webhook.HasField("mlflow")]
    begin = 0
    if token := values["page_token"]:  # the id of the last one of the page before
        ids = [segment(webhook.name) for webhook in every]
        if token not in ids:
            raise invalid("Invalid page token")
        begin = ids.index(token) + 1
    page = every[begin : begin + wanted]
    json: Json = {}
    if page:
        json["webhooks"] = [_json(webhook) for webhook in page]
    if begin + wanted < len(every):
        json["next_page_token"] = segment(page[-1].name)
    return json


async def update(call: Call) -> Json:
    """Changes a webhook: what the request names."""
    values = call.read(
        text("name"),
        text("description", default=None),
        text("url"),
        items("events", *_EVENT),
        text("secret", default=None),
        choice("status", STATUSES),
    )
    events = [_event_name(event) for event in values["events"]]
    webhook = await _found(call)
    paths: list[str] = []
    if values["name"]:
        _check_name(values["name"])
        webhook.display_name = values["name"]
        paths.append("display_name")
    if values["url"]:
        _check_url(values["url"])
        webhook.mlflow.url = values["url"]
    if events:
        webhook.mlflow.events[:] = events
    if values["secret"] is not None:
        webhook.mlflow.secret = values["secret"]
    if values["url"] or events or values["secret"] is not None:
        paths.append("mlflow")
    if values["description"] is not None:
        webhook.description = values["description"]
        paths.append("description")
    if values["status"] is not None:
        webhook.enabled = values["status"] == STATUSES["ACTIVE"]
        paths.append("enabled")
    if not paths:
        return {"webhook": _json(webhook)}
    request = pb.UpdateWebhookRequest(webhook=webhook, update_mask=FieldMask(paths=paths))
    return {"webhook": _json((await _to_somewhere(call, "UpdateWebhook", request, webhook.mlflow.url)).webhook)}


async def delete(call: Call) -> Json:
    """Deletes a webhook."""
    webhook = await _found(call)
    await call.rpc("DeleteWebhook", pb.DeleteWebhookRequest(name=webhook.name))
    return {}


async def test(call: Call) -> Json:
    """Makes one request of an example, and returns how it was answered."""
    values = call.read(one("event", *_EVENT))
    event = _event_name(values["event"]) if values["event"] else ""
    webhook = await _found(call)
    sent = await call.rpc("TestWebhook", pb.TestWebhookRequest(name=webhook.name, mlflow_event=event))
    if sent.error:
        return {"result": {"success": False, "error_message": f"Failed to test webhook: {sent.error}"}}
    return {
        "result": {
            "success": 200 <= sent.http_status < 300,
            "response_status": sent.http_status,
            "response_body": sent.answer,
        }
    }


async def _found(call: Call) -> event_pb2.Webhook:
    """The webhook that the path names. Raises `MlflowError`."""
    webhook_id = call.path["webhook_id"]
    absent = missing(f"Webhook with ID {webhook_id} not found.")
    if not _ID.fullmatch(webhook_id):
        raise absent
    request = pb.GetWebhookRequest(name=f"{call.parent}/webhooks/{webhook_id}")
    try:
        webhook = (await call.rpc("GetWebhook", request)).webhook
    except RpcFailed as error:
        if reason_of(error) == "WEBHOOK_NOT_FOUND":
            raise absent from None
        raise
    if not webhook.HasField("mlflow"):
        raise absent
    return webhook


async def _to_somewhere(call: Call, method: str, request: Any, url: str) -> Any:
    """Calls a method that may refuse where a webhook goes."""
    try:
        return await call.rpc(method, request)
    except RpcFailed as error:
        if reason_of(error) == "TARGET_FORBIDDEN" and urlsplit(url).scheme == "http":
            raise _wrong_scheme("http") from None
        raise


def _event_name(event: Values) -> str:
    """An event as `entity.action`. Raises `MlflowError` for one that does not happen."""
    entity, action = _ENTITY_NAMES.get(event["entity"], ""), _ACTION_NAMES.get(event["action"], "")
    if not entity or not action:
        raise invalid("A webhook's event needs an entity and an action that exist.")
    if entity == "budget_policy":
        raise invalid("There are no budget policies here, so nothing would ever fire budget_policy.exceeded.")
    possible = ["deleted", "set"] if entity in _TAGS else ["created", "deleted"] if entity in _ALIASES else ["created"]
    if action not in possible:
        raise invalid(f"Invalid action '{action}' for entity '{entity}'. Valid actions are: {possible}")
    return f"{entity}.{action}"


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise invalid(
            f"Webhook name {name!r} is invalid. It must start and end with a letter or digit, be less than 63 characters "
            "long, and contain only letters, digits, dots (.), underscores (_), and hyphens (-)."
        )


def _check_url(url: str) -> None:
    """Refuses what is no address of a server; whether requests may go there the registry decides."""
    if not url.strip():
        raise invalid(f"Webhook URL cannot be empty or just whitespace: {url!r}")
    try:
        parts = urlsplit(url)
        hostname = parts.hostname
    except ValueError as error:
        raise invalid(f"Invalid webhook URL {url!r}: {error!r}") from None
    if parts.scheme not in ("http", "https"):
        raise _wrong_scheme(parts.scheme)
    if not hostname:
        raise invalid(f"Webhook URL must include a hostname: {url!r}")


def _wrong_scheme(scheme: str) -> MlflowError:
    return invalid(f"Invalid webhook URL scheme: {scheme!r}. Allowed schemes are: https.")


def _events_json(names: Iterable[str]) -> list[Mapping[str, str]]:
    parts = [name.upper().partition(".") for name in names]
    return [{"entity": entity, "action": action} for entity, _, action in parts]


def _json(webhook: event_pb2.Webhook) -> Json:
    json: Json = {
        "webhook_id": segment(webhook.name),
        "name": webhook.display_name,
        "url": webhook.mlflow.url,
        "events": _events_json(webhook.mlflow.events),
        "status": "ACTIVE" if webhook.enabled else "DISABLED",
        "creation_timestamp": milliseconds(webhook.create_time),
        "last_updated_timestamp": milliseconds(webhook.update_time),
    }
    if webhook.description:
        json["description"] = webhook.description
    return json
