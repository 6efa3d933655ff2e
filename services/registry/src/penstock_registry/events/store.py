"""Events, webhooks and deliveries as documents, in the partition of their project.

The outbox is the collection of events: each was written together with the change that it tells of. Its change feed is the
order in which things happened, and a revision in it is a cursor.
"""

from collections.abc import Callable, Sequence
from typing import Final

from penstock_kit.stores.documents import (
    OPERATIONS_PER_BATCH_MAX,
    Collection,
    Delete,
    Document,
    DocumentExists,
    DocumentMissing,
    DocumentStore,
    Index,
    Insert,
    Operation,
    Replace,
    UniqueConflict,
    VersionConflict,
)
from penstock_registry.bodies import event_of
from penstock_registry.domain import Event
from penstock_registry.errors import DeliveryNotFound, EtagMismatch, WebhookLimitReached, WebhookNotFound
from penstock_registry.events import bodies
from penstock_registry.events.domain import WEBHOOKS_PER_PROJECT_MAX, Delivery, Webhook
from penstock_registry.events.secrets import KEY_CHECK_COLLECTION
from penstock_registry.store import EVENTS, Stored

__all__ = ["EVENT_COLLECTIONS", "EventStore"]

WEBHOOKS: Final = "webhooks"
DELIVERIES: Final = "deliveries"
FANOUT: Final = "fanout"
FANOUT_ID: Final = "events"
WRITE_ATTEMPTS_MAX: Final = 20
EVENTS_PER_READ: Final = 200

EVENT_COLLECTIONS: Final = (
    Collection(WEBHOOKS, (Index("created", ("create_us",)), Index("creation", ("creation",), unique=True))),
    Collection(
        DELIVERIES,
        (
            Index("webhook", ("webhook", "create_us")),
            Index("key", ("key", "state")),
            # Only what is pending has `due_us`.
            Index("waiting", ("webhook", "due_us")),
            Index("created", ("create_us",)),
        ),
    ),
    # How far events have become deliveries.
    Collection(FANOUT),
    KEY_CHECK_COLLECTION,
)


class EventStore:
    """What happened, and who is told.

    Args:
        documents: A store opened with `EVENT_COLLECTIONS` and the collection of events.
    """

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    # Events

    async def events(self, project: str, since: int) -> tuple[list[tuple[Event, int]], int, bool]:
        """Returns events after a revision with their own, where to go on, and whether there are more already."""
        page = await self._documents.changes(EVENTS, project, since=since, limit=EVENTS_PER_READ)
        found = [
            (event_of(change.id, change.document.body), change.revision)
            for change in page.changes
            if change.document is not None
        ]
        return found, page.revision, page.more

    async def newest_revision(self, project: str) -> int:
        """Returns the revision of the event that happened last, 0 if none did."""
        page = await self._documents.query(EVENTS, project, "time", descending=True, limit=1)
        return page.documents[0].revision if page.documents else 0

    # Webhooks

    async def webhook(self, project: str, webhook_id: str) -> Stored[Webhook]:
        """Returns a webhook. Raises `WebhookNotFound`."""
        try:
            return _stored_webhook(await self._documents.get(WEBHOOKS, project, webhook_id))
        except DocumentMissing:
            raise _webhook_not_found(project, webhook_id) from None

    async def webhooks(self, project: str) -> list[Stored[Webhook]]:
        """Returns the webhooks of a project, oldest first."""
        page = await self._documents.query(WEBHOOKS, project, "created", limit=2 * WEBHOOKS_PER_PROJECT_MAX)
        return [_stored_webhook(document) for document in page.documents]

    async def projects(self) -> list[str]:
        """Returns the projects that have webhooks."""
        return await self._documents.partitions(WEBHOOKS)

    async def add_webhook(self, webhook: Webhook) -> tuple[Stored[Webhook], bool]:
        """Adds a webhook, unless the same create made one before. Returns it, and whether it was added.

        Raises `WebhookLimitReached`.
        """
        if len(await self.webhooks(webhook.project)) >= WEBHOOKS_PER_PROJECT_MAX:
            raise WebhookLimitReached(f"The project has {WEBHOOKS_PER_PROJECT_MAX} webhooks, which is the limit.")
        try:
            document = await self._documents.insert(WEBHOOKS, webhook.project, webhook.id, bodies.webhook_body(webhook))
        except UniqueConflict:
            page = await self._documents.query(
                WEBHOOKS, webhook.project, "creation", equal=(webhook.creation,), limit=1
            )
            return _stored_webhook(page.documents[0]), False
        return _stored_webhook(document), True

    async def change_webhook(
        self, project: str, webhook_id: str, change: Callable[[Webhook], Webhook], *, etag: str = ""
    ) -> Stored[Webhook]:
        """Replaces a webhook by what `change` makes of it. Raises `WebhookNotFound`, `EtagMismatch`."""
        for _ in range(WRITE_ATTEMPTS_MAX):
            stored = await self.webhook(project, webhook_id)
            if etag and etag != stored.etag:
                raise EtagMismatch("The webhook changed since it was read: read it again and decide anew.")
            body = bodies.webhook_body(change(stored.value))
            try:
                document = await self._documents.replace(WEBHOOKS, project, webhook_id, body, expected=stored.version)
            except VersionConflict:
                continue
            except DocumentMissing:
                raise _webhook_not_found(project, webhook_id) from None
            return _stored_webhook(document)
        raise EtagMismatch("The webhook is being changed by too many callers at once; try again.")

    async def delete_webhook(self, project: str, webhook_id: str) -> None:
        """Deletes a webhook and its deliveries. Raises `WebhookNotFound`."""
        try:
            await self._documents.delete(WEBHOOKS, project, webhook_id)
        except DocumentMissing:
            raise _webhook_not_found(project, webhook_id) from None
        while True:
            page = await self._documents.query(
                DELIVERIES, project, "webhook", equal=(webhook_id,), limit=OPERATIONS_PER_BATCH_MAX
            )
            if not page.documents:
                return
            await self._delete_deliveries(project, page.documents)

    # Deliveries

    async def begin_fan_out(self, project: str) -> None:
        """Makes sure that it is known from where events become deliveries: from now, where none did yet."""
        revision = await self.newest_revision(project)
        try:
            await self._documents.insert(FANOUT, project, FANOUT_ID, {"revision": revision})
        except DocumentExists:
            return

    async def fan_out(self, project: str, make: Callable[[Event], Sequence[Delivery]]) -> bool:
        """Makes deliveries of some events that are not told yet, each event once. Returns whether there are more."""
        found = await self._documents.get_many(FANOUT, project, [FANOUT_ID])
        if FANOUT_ID not in found:
            return False
        place = found[FANOUT_ID]
        events, revision, more = await self.events(project, place.body["revision"])
        if revision == place.body["revision"]:
            return False
        operations: list[Operation] = [Replace(FANOUT, FANOUT_ID, {"revision": revision}, place.version)]
        for event, at in events:
            deliveries = make(event)
            if len(operations) + len(deliveries) > OPERATIONS_PER_BATCH_MAX:
                more = True
                break
            operations[0] = Replace(FANOUT, FANOUT_ID, {"revision": at}, place.version)
            operations.extend(Insert(DELIVERIES, d.id, bodies.delivery_body(d)) for d in deliveries)
        else:
            operations[0] = Replace(FANOUT, FANOUT_ID, {"revision": revision}, place.version)
        try:
            await self._documents.apply(project, operations)
        except VersionConflict:
            return True  # another replica does it
        return more

    async def due_deliveries(self, project: str, webhook_id: str, now_us: int, limit: int) -> list[Stored[Delivery]]:
        """Returns deliveries of a webhook whose time has come, those due longest first."""
        page = await self._documents.query(DELIVERIES, project, "waiting", equal=(webhook_id,), limit=limit)
        found = [_stored_delivery(document) for document in page.documents]
        return [stored for stored in found if stored.value.due_us is not None and stored.value.due_us <= now_us]

    async def pending_with_key(self, project: str, key: str) -> list[Stored[Delivery]]:
        """Returns the pending deliveries that must not overlap with each other."""
        page = await self._documents.query(DELIVERIES, project, "key", equal=(key, 1), limit=OPERATIONS_PER_BATCH_MAX)
        return [_stored_delivery(document) for document in page.documents]

    async def replace_deliveries(
        self, project: str, changes: Sequence[tuple[Stored[Delivery], Delivery]]
    ) -> list[Stored[Delivery]] | None:
        """Replaces deliveries, all or none. Returns them, None if somebody else changed one."""
        operations = [
            Replace(DELIVERIES, stored.value.id, bodies.delivery_body(changed), stored.version)
            for stored, changed in changes
        ]
        try:
            written = await self._documents.apply(project, operations)
        except (VersionConflict, DocumentMissing):
            return None
        return [_stored_delivery(document) for document in written if document is not None]

    async def delivery(self, project: str, webhook_id: str, delivery_id: str) -> Stored[Delivery]:
        """Returns a delivery. Raises `DeliveryNotFound`."""
        found = await self._documents.get_many(DELIVERIES, project, [delivery_id])
        if delivery_id not in found or found[delivery_id].body["webhook"] != webhook_id:
            raise DeliveryNotFound(f"The webhook {webhook_id} has no delivery {delivery_id}.")
        return _stored_delivery(found[delivery_id])

    async def deliveries(
        self, project: str, webhook_id: str, *, limit: int, cursor: bytes | None
    ) -> tuple[list[Delivery], bytes | None]:
        """Returns deliveries of a webhook, newest first, and where to go on."""
        page = await self._documents.query(
            DELIVERIES, project, "webhook", equal=(webhook_id,), descending=True, limit=limit, cursor=cursor
        )
        return [bodies.delivery_of(document.id, document.body) for document in page.documents], page.cursor

    async def purge_deliveries(self, before_us: int) -> None:
        """Deletes deliveries that were made before a time."""
        for project in await self._documents.partitions(DELIVERIES):
            while True:
                page = await self._documents.query(DELIVERIES, project, "created", limit=OPERATIONS_PER_BATCH_MAX)
                old = [document for document in page.documents if document.body["create_us"] < before_us]
                if not old:
                    break
                await self._delete_deliveries(project, old)

    async def _delete_deliveries(self, project: str, documents: Sequence[Document]) -> None:
        try:
            await self._documents.apply(project, [Delete(DELIVERIES, document.id) for document in documents])
        except DocumentMissing:
            return  # another replica is at it


def _stored_webhook(document: Document) -> Stored[Webhook]:
    return Stored(bodies.webhook_of(document.partition, document.id, document.body), document.version)


def _stored_delivery(document: Document) -> Stored[Delivery]:
    return Stored(bodies.delivery_of(document.id, document.body), document.version)


def _webhook_not_found(project: str, webhook_id: str) -> WebhookNotFound:
    return WebhookNotFound(f"There is no webhook {webhook_id} in the project {project}.")
