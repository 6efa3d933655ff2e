"""The gRPC face of events and webhooks: unpack, call, pack."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from penstock.api.registry.v1 import registry_service_pb2 as pb
from penstock_kit import paging
from penstock_kit.access import current_caller
from penstock_kit.names import ProjectName
from penstock_kit.server import draining
from penstock_registry.errors import FieldInvalid
from penstock_registry.events import convert
from penstock_registry.events.service import EventService

__all__ = ["EventServicer"]

# What an update mask may name → the field of the domain.
UPDATE_PATHS: Final = {
    "display_name": "display_name",
    "description": "description",
    "types": "types",
    "model": "model_id",
    "alias": "alias",
    "enabled": "enabled",
    "concurrency_key": "concurrency_key",
    "chain_length_max": "chain_length_max",
    "http": "target",
    "github": "target",
    "gitlab": "target",
    "jenkins": "target",
    "mlflow": "target",
}


class EventServicer:
    """The part of `RegistryService` that is about events. Each method is the RPC of its name."""

    def __init__(self, events: EventService) -> None:
        self._events = events

    async def WatchEvents(self, request: pb.WatchEventsRequest, context: Any) -> AsyncGenerator[pb.WatchEventsResponse]:
        project = ProjectName.parse(request.parent).project
        watch = self._events.watch(project, request.cursor, from_now=request.from_now, stop=draining())
        async with aclosing(watch) as events:
            async for event, cursor in events:
                message = None if event is None else convert.event_message(project, event)
                yield pb.WatchEventsResponse(event=message, cursor=cursor)

    async def CreateWebhook(self, request: pb.CreateWebhookRequest, context: Any) -> pb.CreateWebhookResponse:
        draft = convert.webhook_from_message(ProjectName.parse(request.parent).project, request.webhook)
        stored, secret = await self._events.create_webhook(
            draft, request_id=request.request_id, by=current_caller().principal
        )
        return pb.CreateWebhookResponse(webhook=convert.webhook_message(stored), secret=secret)

    async def GetWebhook(self, request: pb.GetWebhookRequest, context: Any) -> pb.GetWebhookResponse:
        stored = await self._events.get_webhook(*convert.parse_webhook_name(request.name))
        return pb.GetWebhookResponse(webhook=convert.webhook_message(stored))

    async def ListWebhooks(self, request: pb.ListWebhooksRequest, context: Any) -> pb.ListWebhooksResponse:
        webhooks = await self._events.list_webhooks(ProjectName.parse(request.parent).project)
        return pb.ListWebhooksResponse(webhooks=[convert.webhook_message(stored) for stored in webhooks])

    async def UpdateWebhook(self, request: pb.UpdateWebhookRequest, context: Any) -> pb.UpdateWebhookResponse:
        project, webhook_id = convert.parse_webhook_name(request.webhook.name)
        paths = list(request.update_mask.paths)
        unknown = [path for path in paths if path not in UPDATE_PATHS]
        if unknown or not paths:
            raise FieldInvalid(f"The mask may name {', '.join(UPDATE_PATHS)}, and must name one.", field="update_mask")
        targets = [path for path in paths if UPDATE_PATHS[path] == "target"]
        if targets and targets != [request.webhook.WhichOneof("target")]:
            raise FieldInvalid("The mask names another target than there is.", field="update_mask")

        values = convert.fields_from_message(request.webhook)
        if targets:
            values["target"] = convert.target_from_message(request.webhook)
        changes = {UPDATE_PATHS[path]: values[UPDATE_PATHS[path]] for path in paths}
        if targets and request.webhook.mlflow.HasField("secret"):
            changes["secrets"] = convert.secrets_from_message(request.webhook)
        stored = await self._events.update_webhook(
            project, webhook_id, lambda webhook: replace(webhook, **changes), etag=request.webhook.etag
        )
        return pb.UpdateWebhookResponse(webhook=convert.webhook_message(stored))

    async def DeleteWebhook(self, request: pb.DeleteWebhookRequest, context: Any) -> pb.DeleteWebhookResponse:
        await self._events.delete_webhook(*convert.parse_webhook_name(request.name))
        return pb.DeleteWebhookResponse()

    async def RotateWebhookSecret(
        self, request: pb.RotateWebhookSecretRequest, context: Any
    ) -> pb.RotateWebhookSecretResponse:
        secret = await self._events.rotate_secret(*convert.parse_webhook_name(request.name))
        return pb.RotateWebhookSecretResponse(secret=secret)

    async def TestWebhook(self, request: pb.TestWebhookRequest, context: Any) -> pb.TestWebhookResponse:
        project, webhook_id = convert.parse_webhook_name(request.name)
        sent = await self._events.test_webhook(project, webhook_id, request.mlflow_event)
        status = sent.attempt.http_status
        return pb.TestWebhookResponse(
            http_status=status, answer=sent.answer, error="" if status else sent.attempt.error
        )

    async def ListDeliveries(self, request: pb.ListDeliveriesRequest, context: Any) -> pb.ListDeliveriesResponse:
        project, webhook_id = convert.parse_webhook_name(request.parent)
        digest = paging.fingerprint(request)
        deliveries, cursor = await self._events.list_deliveries(
            project,
            webhook_id,
            limit=paging.page_size(request.page_size),
            cursor=paging.place(request.page_token, digest, bytes),
        )
        return pb.ListDeliveriesResponse(
            deliveries=[convert.delivery_message(project, delivery) for delivery in deliveries],
            next_page_token="" if cursor is None else paging.seal(digest, cursor),
        )

    async def ReplayDelivery(self, request: pb.ReplayDeliveryRequest, context: Any) -> pb.ReplayDeliveryResponse:
        project, webhook_id, delivery_id = convert.parse_delivery_name(request.name)
        delivery = await self._events.replay(project, webhook_id, delivery_id)
        return pb.ReplayDeliveryResponse(delivery=convert.delivery_message(project, delivery))
