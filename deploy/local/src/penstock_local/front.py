"""Where the platform listens: what people choose, as settings of the gateway, and what is wrong with it in their words."""

import contextlib
import os
import socket
from collections.abc import Generator
from dataclasses import dataclass

from penstock.errors import InvalidInput, PenstockError
from penstock_gateway.listeners import AddressInUse
from penstock_gateway.settings import ENVIRONMENT_PREFIX
from penstock_kit.listening import CannotListen, is_loopback
from penstock_kit.settings import SettingsError

__all__ = ["Addresses", "PortTaken", "explained"]


class PortTaken(PenstockError):
    """Something else listens on the port."""

    default_reason = "PORT_TAKEN"


@dataclass(frozen=True)
class Addresses:
    """Where the platform shall listen.

    Attributes:
        host: The address of both ports.
        http_port: The HTTP port; 0 takes a free one.
        grpc_port: The gRPC port; 0 takes a free one.
    """

    host: str = "127.0.0.1"
    http_port: int = 7070
    grpc_port: int = 7071

    def environment(self) -> dict[str, str]:
        """This process's environment with these addresses. What else it sets of the gateway holds here too."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        environment = {
            **os.environ,
            f"{ENVIRONMENT_PREFIX}_HTTP_ADDRESS": f"{host}:{self.http_port}",
            f"{ENVIRONMENT_PREFIX}_GRPC_ADDRESS": f"{host}:{self.grpc_port}",
        }
        if not is_loopback(f"{host}:{self.http_port}"):
            # Other machines know this one by its name.
            hosts = f"{ENVIRONMENT_PREFIX}_PUBLIC_HOSTS"
            environment[hosts] = f"{environment.get(hosts, '')},{socket.gethostname()}"
        return environment


@contextlib.contextmanager
def explained() -> Generator[None]:
    """Says what is wrong with the addresses in terms of the options of `penstock up`. Raises `PortTaken`, `InvalidInput`."""
    try:
        yield
    except AddressInUse as error:
        option = "--http-port" if error.setting == "http_address" else "--grpc-port"
        raise PortTaken(
            f"{error.address} is in use by another program. Stop it, or choose another port with {option} (0 takes a "
            "free one).",
            metadata={"address": error.address},
        ) from error
    except (CannotListen, SettingsError) as error:
        raise InvalidInput(str(error)) from error
