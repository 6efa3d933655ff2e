"""A real `redis-server`, which writes nothing to disk: what is there may be lost."""

import os
import socket
from pathlib import Path

from typing_extensions import override

from penstock_local.ports import HOST
from penstock_local.servers.process import ServerProcess
from penstock_local.servers.programs import DebianPackage, on_path

__all__ = ["RedisServer"]

PROBE_TIMEOUT_S = 0.5
PACKAGE = DebianPackage(package="redis-server", program="redis-server")
OTHERWISE = "Put redis-server on PATH, for instance with `apt install redis-server` or `brew install redis`."


class RedisServer(ServerProcess):
    """A `redis-server`.

    Args:
        folder: See `ServerProcess`.
        password: If not empty, nothing is allowed without it.
    """

    def __init__(self, folder: Path, *, password: str = "") -> None:
        super().__init__(folder)
        self._password = password

    @classmethod
    @override
    def available(cls) -> Path | None:
        return on_path("redis-server")

    @classmethod
    @override
    def fetch(cls) -> Path:
        return on_path("redis-server") or PACKAGE.fetch(OTHERWISE)

    @property
    @override
    def url(self) -> str:
        """`redis://127.0.0.1:port/0`, with the password if there is one."""
        user = f":{self._password}@" if self._password else ""
        return f"redis://{user}{HOST}:{self.port}/0"

    @override
    def _command(self, program: Path) -> list[str]:
        command = [str(program), "--bind", HOST, "--port", str(self.port), "--dir", str(self.folder)]
        command += ["--save", "", "--appendonly", "no", "--daemonize", "no"]
        if not self._password:
            return command
        # In a file, because everybody on this machine sees command lines.
        path = self.folder / "redis.conf"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"requirepass {self._password}\n")
        return [command[0], str(path), *command[1:]]

    @override
    def _answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), PROBE_TIMEOUT_S) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False
