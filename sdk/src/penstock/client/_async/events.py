"""What a client asks of the registry service about events: following them, and webhooks."""

from collections.abc import Sequence

from google.protobuf import field_mask_pb2

from penstock.api.registry.v1 import event_pb2, registry_service_pb2
from penstock.client import records
from penstock.client._async.following import SILENCE_S, following
from penstock.client._async.gates import AsyncGates
from penstock.client._async.paging import AsyncPages
from penstock.client.names import project_name
from penstock.client.runtime_async import Stream

__all__ = ["AsyncEvents"]


class AsyncEvents(AsyncGates):
    """The part of a client that follows what happens in the registry, and manages who else is told."""

    async def watch_events(
        self, project: str = "default", *, cursor: str = "", from_now: bool = False
    ) -> Stream[registry_service_pb2.WatchEventsResponse]:
        """Follows what happens to the models of a project: each event once, in the order in which they happened. Never ends.

        Goes on by itself, without a gap or a repeat, when the server was away for less than a minute. Each response has the
        `event`, and the `cursor` after it, from which a later watcher goes on.

        Args:
            project: The project.
            cursor: Where to go on, from a response before; empty means from the oldest event that is kept, 30 days old.
            from_now: With an empty cursor: skip the events that are there already.

        Raises:
            ServerUnavailable: The server went away and did not return.
        """
        parent = project_name(project)

        def begin() -> Stream[registry_service_pb2.WatchEventsResponse]:
            request = registry_service_pb2.WatchEventsRequest(parent=parent, cursor=cursor, from_now=from_now)
            return self.registry.WatchEvents(request, silence_s=SILENCE_S)

        responses = following(begin, ends=False)
        try:
            async for response in responses:
                cursor = response.cursor
                if response.HasField("event"):
                    yield response
        finally:
            await responses.aclose()

    async def create_webhook(
        self, webhook: event_pb2.Webhook, *, project: str = "default", request_id: str = ""
    ) -> registry_service_pb2.CreateWebhookResponse:
        """Creates a webhook, which fires for events from now on. The response holds its `secret`, which is never shown again.

        Args:
            webhook: Which events, and where to: `http`, `github`, `gitlab`, `jenkins`, or `mlflow`, which brings its secret.
            project: The project.
            request_id: Makes a repeat safe: at most 64 characters, unique per webhook. A repeat returns no secret.

        Raises:
            InvalidInput: It makes no sense, or may not go there.
            LimitExceeded: The project has 100.
        """
        return await self.registry.CreateWebhook(
            registry_service_pb2.CreateWebhookRequest(
                parent=project_name(project), webhook=webhook, request_id=request_id
            )
        )

    async def webhooks(self, project: str = "default") -> list[event_pb2.Webhook]:
        """The webhooks of a project, oldest first."""
        response = await self.registry.ListWebhooks(
            registry_service_pb2.ListWebhooksRequest(parent=project_name(project))
        )
        return list(response.webhooks)

    async def update_webhook(self, webhook: event_pb2.Webhook, fields: Sequence[str]) -> event_pb2.Webhook:
        """Changes some fields of a webhook, given by its name. Raises `NotFound`, `InvalidInput`, `Conflict`."""
        response = await self.registry.UpdateWebhook(
            registry_service_pb2.UpdateWebhookRequest(
                webhook=webhook, update_mask=field_mask_pb2.FieldMask(paths=fields)
            )
        )
        return response.webhook

    async def delete_webhook(self, name: str) -> None:
        """Deletes a webhook with its deliveries. Raises `NotFound`."""
        await self.registry.DeleteWebhook(registry_service_pb2.DeleteWebhookRequest(name=name))

    async def rotate_webhook_secret(self, name: str) -> str:
        """Makes a new secret, and returns it. The former one counts for a day more, but for `mlflow`. Raises `NotFound`."""
        response = await self.registry.RotateWebhookSecret(registry_service_pb2.RotateWebhookSecretRequest(name=name))
        return response.secret

    async def test_webhook(self, name: str, *, mlflow_event: str = "") -> registry_service_pb2.TestWebhookResponse:
        """Makes one request, of an example, and returns how it was answered. Nothing is kept of it.

        Args:
            name: The webhook.
            mlflow_event: Of one with the target `mlflow`, which event; empty means the first that it names.

        Raises:
            NotFound: There is none of that name.
            InvalidInput: It starts a job of a CI system, or that is no event of MLflow.
        """
        return await self.registry.TestWebhook(
            registry_service_pb2.TestWebhookRequest(name=name, mlflow_event=mlflow_event)
        )

    def deliveries(self, webhook: str, *, limit: int | None = None) -> AsyncPages[event_pb2.Delivery]:
        """The deliveries of a webhook, given by its name, newest first."""

        async def fetch(page_size: int, page_token: str) -> tuple[Sequence[event_pb2.Delivery], str]:
            response = await self.registry.ListDeliveries(
                registry_service_pb2.ListDeliveriesRequest(parent=webhook, page_size=page_size, page_token=page_token)
            )
            return response.deliveries, response.next_page_token

        return AsyncPages(fetch, records.delivery_record, ["name", "state"], limit)

    async def replay_delivery(self, name: str) -> event_pb2.Delivery:
        """Makes a delivery anew, of the same event under the same id. Raises `NotFound`, `Conflict` if it is disabled."""
        response = await self.registry.ReplayDelivery(registry_service_pb2.ReplayDeliveryRequest(name=name))
        return response.delivery
