"""The settings of the dashboard, read once from the environment by `__main__`.

Every setting is an environment variable: `PENSTOCK_DASHBOARD_` and the field's name in capitals.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from penstock.errors import InvalidInput

__all__ = ["Settings", "SettingsError", "load"]

PREFIX = "PENSTOCK_DASHBOARD_"


class SettingsError(InvalidInput):
    """A setting is missing or wrong. The message names the variable and what it should look like."""


@dataclass(frozen=True)
class Settings:
    """How the dashboard is reached and whom it asks.

    Attributes:
        host: Where it listens. Off loopback it needs `insecure_off_loopback`, because it speaks plain HTTP: the gateway in
            front of it speaks TLS.
        port: The port; 0 takes a free one.
        gateway_http: The HTTP address of the gateway, as shown to people who connect a client.
        gateway_grpc: The gRPC address of the gateway, `host:port`.
        insecure_off_loopback: Whether plain HTTP off loopback is allowed, for a network that encrypts by itself.
        exit_with_parent: Whether the process ends when its standard input reaches its end.
    """

    host: str = "127.0.0.1"
    port: int = 7072
    gateway_http: str = "http://127.0.0.1:7070"
    gateway_grpc: str = "127.0.0.1:7071"
    insecure_off_loopback: bool = False
    exit_with_parent: bool = False


def load(environ: Mapping[str, str]) -> Settings:
    """Reads the settings. Raises `SettingsError`."""
    host, port = _address(environ.get(f"{PREFIX}ADDRESS", f"{Settings.host}:{Settings.port}"))
    gateway_http = environ.get(f"{PREFIX}GATEWAY_HTTP", Settings.gateway_http).rstrip("/")
    if not gateway_http.startswith(("http://", "https://")):
        raise SettingsError(f"{PREFIX}GATEWAY_HTTP is {gateway_http!r}: it should look like http://127.0.0.1:7070.")
    insecure_off_loopback = _flag(environ, "INSECURE_OFF_LOOPBACK")
    if not _is_loopback(host) and not insecure_off_loopback:
        raise SettingsError(
            f"{PREFIX}ADDRESS is {host}:{port}, which is not loopback, and the dashboard speaks plain HTTP. Put the gateway "
            f"in front of it, or set {PREFIX}INSECURE_OFF_LOOPBACK=1 where the network encrypts by itself."
        )
    return Settings(
        host=host,
        port=port,
        gateway_http=gateway_http,
        gateway_grpc=environ.get(f"{PREFIX}GATEWAY_GRPC", Settings.gateway_grpc),
        insecure_off_loopback=insecure_off_loopback,
        exit_with_parent=_flag(environ, "EXIT_WITH_PARENT"),
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"{PREFIX}ADDRESS is {text!r}: it should look like 127.0.0.1:7072.")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _flag(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(PREFIX + name, "")
    values = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}
    if text.lower() not in values:
        raise SettingsError(f"{PREFIX}{name} is {text!r}: it should be 1 or 0.")
    return values[text.lower()]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
