"""The composition root of the auth service: puts its parts together around the stores and the clock that it is given."""

from pathlib import Path

from penstock.api.auth.v1 import auth_service_pb2
from penstock_auth.bootstrap import Bootstrap
from penstock_auth.data_dir import exclusive, prepare
from penstock_auth.errors import StartError
from penstock_auth.feed import GrantFeed
from penstock_auth.guard import LocalGuard
from penstock_auth.jobs import jobs
from penstock_auth.keys import KeyRing
from penstock_auth.service import AuthService
from penstock_auth.servicer import AuthServicer
from penstock_auth.settings import AuthSettings
from penstock_auth.store import COLLECTIONS, AuthStore
from penstock_kit.application import Application
from penstock_kit.clock import Clock
from penstock_kit.server import Mount
from penstock_kit.stores.documents import DocumentStore
from penstock_kit.stores.embedded.documents import SqliteDocumentStore
from penstock_kit.stores.embedded.sqlite import StoreFileError

__all__ = ["AuthApplication", "build", "open_documents"]

DATABASE_FILE = "auth.db"


class AuthApplication:
    """The auth service, not running yet.

    Attributes:
        application: What is served and done.
        guard: Decides about the calls to it.
    """

    def __init__(self, application: Application, guard: LocalGuard, service: AuthService, bootstrap: Bootstrap) -> None:
        self.application = application
        self.guard = guard
        self._service = service
        self._bootstrap = bootstrap

    async def bootstrap(self) -> str | None:
        """Makes the installation ready; to be awaited before it is served.

        Returns the secret of the first setup link if this was the first start of the installation, else None.

        Raises `StartError`: the data directory or a credential file cannot be written, or the data is of a newer version.
        """
        return await self._bootstrap.run()

    async def owner_credential(self) -> str:
        """Returns the local owner's token, `pst_...`; makes and writes a new one if the file is lost or not valid any more.

        Raises `StartError`.
        """
        return await self._bootstrap.owner_credential()

    async def mint_setup_link(self, principal: str) -> str:
        """Returns the secret of a fresh setup link, `psl_...`, for `users/{user}`. Raises `PrincipalNotFound`."""
        return await self._service.mint_setup_link(principal)


def build(settings: AuthSettings, *, documents: DocumentStore, clock: Clock) -> AuthApplication:
    """Builds the service.

    Args:
        settings: Where the data directory and the credential files are.
        documents: A store opened with `COLLECTIONS`; closed when the application is.
        clock: The time.
    """
    store = AuthStore(documents)
    keys = KeyRing(store, clock)
    feed = GrantFeed(store, clock)
    service = AuthService(store, keys, feed, clock)
    application = Application(
        mounts=[Mount(auth_service_pb2.DESCRIPTOR.services_by_name["AuthService"], AuthServicer(service))],
        jobs=jobs(store, keys, feed, clock),
        close=documents.close,
    )
    bootstrap = Bootstrap(settings, store, service, keys, feed, clock)
    return AuthApplication(application, LocalGuard(keys, feed), service, bootstrap)


async def open_documents(data_dir: Path) -> DocumentStore:
    """Opens the embedded store of the service in its data directory, made for this user alone if it is missing.

    Raises `StartError` if the directory cannot be written, or its file is damaged or of a newer version.
    """
    prepare(data_dir)
    async with exclusive(data_dir):  # the first to open the file makes its tables
        try:
            return await SqliteDocumentStore.open(data_dir / DATABASE_FILE, COLLECTIONS)
        except (StoreFileError, OSError) as error:
            raise StartError(f"Cannot open the data of auth: {str(error).rstrip('.')}.") from error
