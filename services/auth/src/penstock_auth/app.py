"""The composition root of the auth service: puts its parts together around the stores and the clock that it is given."""

from dataclasses import dataclass

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
from penstock_kit.stores.embedded.sqlite import StoreFileError
from penstock_kit.stores.open import open_documents

__all__ = ["AuthApplication", "AuthStores", "build", "open_stores"]

DATABASE_FILE = "auth.db"


@dataclass(frozen=True, slots=True)
class AuthStores:
    """What auth keeps things in."""

    documents: DocumentStore

    async def close(self) -> None:
        """Closes it. Harmless after the first time."""
        await self.documents.close()


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


def build(settings: AuthSettings, stores: AuthStores, clock: Clock) -> AuthApplication:
    """Builds the service.

    Args:
        settings: Where the data directory and the credential files are.
        stores: Closed when the application is.
        clock: The time.
    """
    store = AuthStore(stores.documents)
    keys = KeyRing(store, clock)
    feed = GrantFeed(store, clock)
    service = AuthService(store, keys, feed, clock)
    application = Application(
        mounts=[Mount(auth_service_pb2.DESCRIPTOR.services_by_name["AuthService"], AuthServicer(service))],
        jobs=jobs(store, keys, feed, clock),
        close=stores.close,
    )
    bootstrap = Bootstrap(settings, store, service, keys, feed, clock)
    return AuthApplication(application, LocalGuard(keys, feed), service, bootstrap)


async def open_stores(settings: AuthSettings) -> AuthStores:
    """Opens the store that the settings name; without a URL, one in the data directory. That is made if it is missing.

    Raises:
        StartError: The data directory cannot be written, or its file is damaged or of a newer version.
        StoreMisconfigured, StoreUnavailable: The server will not do, or does not answer.
    """
    prepare(settings.data_dir)
    url = settings.documents_url or str(settings.data_dir / DATABASE_FILE)
    async with exclusive(settings.data_dir):  # the first to open the file makes its tables
        try:
            return AuthStores(await open_documents(url, COLLECTIONS, mongo_driver=settings.mongo_driver))
        except (StoreFileError, OSError) as error:
            raise StartError(f"Cannot open the data of auth: {str(error).rstrip('.')}.") from error
