"""Owns the first start: what an installation begins with, and the two credential files that it keeps valid for itself.

The records of the first start are one atomic write, so of any number of processes one does it. The credential files lie
outside of the store, so a file lock lets one process at a time look at them.
"""

from pathlib import Path

from penstock_auth.credentials import mint_secret, read_secret_file, write_secret_file
from penstock_auth.data_dir import exclusive, prepare
from penstock_auth.domain import EVERYTHING, CredentialKind, Principal, PrincipalKind, Project, Token
from penstock_auth.errors import StartError
from penstock_auth.feed import GrantFeed
from penstock_auth.keys import KeyRing, new_key
from penstock_auth.service import AuthService
from penstock_auth.settings import AuthSettings
from penstock_auth.store import AuthStore
from penstock_kit.clock import Clock
from penstock_kit.errors import Unauthenticated

__all__ = ["DEFAULT_PROJECT", "OWNER", "PLATFORM", "Bootstrap"]

OWNER = Principal("users/owner", PrincipalKind.USER, owner=True)
PLATFORM = Principal("services/platform", PrincipalKind.SERVICE, owner=False)
DEFAULT_PROJECT = "default"


class Bootstrap:
    """The first start, and the credentials of every start.

    Args:
        settings: Where the files are.
        store: The records.
        service: Checks credentials and makes links.
        keys: Loaded by `run`.
        feed: Loaded by `run`.
        clock: The time.
    """

    def __init__(
        self,
        settings: AuthSettings,
        store: AuthStore,
        service: AuthService,
        keys: KeyRing,
        feed: GrantFeed,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._store = store
        self._service = service
        self._keys = keys
        self._feed = feed
        self._clock = clock

    async def run(self) -> str | None:
        """Makes the installation ready to serve. Returns the secret of its first setup link if this was its first start.

        Raises `StartError`.
        """
        data_dir = self._settings.data_dir
        prepare(data_dir)
        try:
            async with exclusive(data_dir):
                setup_link = None if await self._store.installed() else await self._install()
                await self._service_credential()
                await self._owner_credential()
            await self._keys.refresh()
            await self._feed.refresh()
        except OSError as error:
            raise StartError(f"Cannot use the data of auth in {data_dir}: {error.strerror}.") from error
        return setup_link

    async def owner_credential(self) -> str:
        """Returns the owner's local token: that of the file, a new one if it is lost or not valid any more.

        Raises `StartError`.
        """
        async with exclusive(self._settings.data_dir):
            return await self._owner_credential()

    async def _owner_credential(self) -> str:
        file = self._settings.owner_credential_file
        return await self._credential(file, CredentialKind.PERSONAL, OWNER, "Local credential")

    async def _service_credential(self) -> str:
        file = self._settings.service_credential_file
        return await self._credential(file, CredentialKind.SERVICE, PLATFORM, "Services")

    async def _install(self) -> str | None:
        now_us = self._clock.now_us()
        secret, link = self._service.new_setup_link(OWNER.name, None)
        project = Project(
            id=DEFAULT_PROJECT,
            title="Default",
            description="",
            creation=f"installation/{DEFAULT_PROJECT}",
            create_time_us=now_us,
            update_time_us=now_us,
        )
        first = await self._store.install(new_key(1, now_us), (OWNER, PLATFORM), project, link, now_us)
        return secret.text if first else None

    async def _credential(self, file: Path, kind: CredentialKind, principal: Principal, title: str) -> str:
        """Returns the secret in a credential file, after replacing one that is missing or good for nothing."""
        found = read_secret_file(file)
        if found is not None and found.kind is kind:
            try:
                token = await self._service.check_secret(found.text)
            except Unauthenticated:
                pass
            else:
                if token.principal == principal.name:
                    return found.text
        secret = mint_secret(kind)
        # The token is stored first: a file that names an unknown token would be worse than a token without its file.
        await self._store.insert_token(
            Token(
                id=secret.id,
                kind=kind,
                principal=principal.name,
                title=title,
                scope=EVERYTHING,
                secret_sha256=secret.sha256,
                create_time_us=self._clock.now_us(),
            )
        )
        write_secret_file(file, secret)
        return secret.text
