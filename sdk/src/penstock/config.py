"""Where the SDK finds its server and keeps its files: the home folder, profiles, and the server on this machine.

Owns `config.json` and `local.json` in the home folder. Knows nothing of gRPC and never opens a connection.

Files in the home folder, each readable by its owner alone (mode 0600):

- `config.json`: the profiles of `penstock login`,
  `{"default": "lab", "profiles": {"lab": {"http": "https://lab:7070", "token": "pst_..."}}}`.
- `local.json`: the server that `penstock up` runs here,
  `{"http": "http://127.0.0.1:7070", "grpc": "127.0.0.1:7071", "token": "pst_...", "pid": 123}`.
- `spool/`: what was logged and not yet sent. `data/`: what `penstock up` stores.
"""

import ipaddress
import json
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from penstock.errors import InvalidInput, NotConnected

__all__ = [
    "Connection",
    "LocalServer",
    "Profile",
    "data_dir",
    "home",
    "is_loopback",
    "normalize_url",
    "profiles",
    "read_local",
    "remove_local",
    "remove_profile",
    "resolve",
    "save_profile",
    "spool_dir",
    "write_local",
]

NO_SERVER_MESSAGE = (
    "No Penstock server found. Start one with `penstock up`, or set PENSTOCK_URL and PENSTOCK_TOKEN, "
    "or `penstock login URL`."
)
PROFILE_NAME_CHARS_MAX = 100
"""Longest name of a profile."""


@dataclass(frozen=True)
class Connection:
    """How to reach a server.

    Attributes:
        http: The HTTP address, `http://host:port` or `https://host:port`, without a slash at the end. https also means
            TLS for gRPC.
        grpc: The gRPC address, `host:port`; None means that the server is asked at `{http}/.well-known/penstock`.
        token: The secret of a personal access token or session; None if there is none.
        source: Where this was found, for people: `arguments`, `environment`, `profile lab`, `local server`.
    """

    http: str
    grpc: str | None
    token: str | None = field(repr=False)
    source: str


@dataclass(frozen=True)
class Profile:
    """A server that `penstock login` remembers.

    Attributes:
        name: The name of the profile.
        http: The HTTP address.
        token: The secret of the token.
        default: Whether it is used when PENSTOCK_PROFILE is not set.
    """

    name: str
    http: str
    token: str = field(repr=False)
    default: bool = False


@dataclass(frozen=True)
class LocalServer:
    """The server that runs on this machine, as its launcher tells.

    Attributes:
        http: The HTTP address.
        grpc: The gRPC address, `host:port`.
        token: The secret of the owner's token.
        pid: The process id of the launcher.
    """

    http: str
    grpc: str
    token: str = field(repr=False)
    pid: int


def home() -> Path:
    """The folder of configuration, credentials and spool: PENSTOCK_HOME, or `.penstock` in the user's home folder.

    The folder need not exist.
    """
    chosen = os.environ.get("PENSTOCK_HOME")
    return Path(chosen).expanduser().absolute() if chosen else Path.home() / ".penstock"


def spool_dir() -> Path:
    """The folder of what was logged and not yet sent."""
    return home() / "spool"


def data_dir() -> Path:
    """The folder in which `penstock up` stores unless told otherwise."""
    return home() / "data"


def normalize_url(url: str) -> str:
    """Brings an HTTP address into the one form that is stored and compared: scheme, host and port, no slash at the end.

    Raises `InvalidInput` when it is not an address, or carries a user, a password, a query or a fragment.
    """
    text = url.strip()
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidInput(f"{url!r} is not an address: {error}.") from None
    if parts.username is not None or parts.password is not None:
        raise InvalidInput("The address must not contain a token or password. Give the token in PENSTOCK_TOKEN.")
    host = parts.hostname
    if (
        parts.scheme not in {"http", "https"}
        or not host
        or parts.query
        or parts.fragment
        or any(c.isspace() for c in text)
    ):
        raise InvalidInput(f"{url!r} is not an address: it should look like http://host:7070.")
    if ":" in host:
        host = f"[{host}]"
    return f"{parts.scheme}://{host}{f':{port}' if port is not None else ''}{parts.path.rstrip('/')}"


def is_loopback(http: str) -> bool:
    """Whether an HTTP address stays on this machine."""
    host = urlsplit(http).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def resolve(url: str | None = None, token: str | None = None) -> Connection:
    """Finds the server to talk to.

    In this order: the arguments; PENSTOCK_URL with PENSTOCK_TOKEN; the profile that PENSTOCK_PROFILE names, else the
    default profile; the server on this machine. A token that is given, or set in PENSTOCK_TOKEN, goes before the
    stored one. An address without a token borrows the stored one of the same address.

    Args:
        url: The HTTP address.
        token: The secret of a token.

    Raises:
        NotConnected: There is no server to be found, or the profile named by PENSTOCK_PROFILE does not exist.
        InvalidInput: The address is not one, or a configuration file is damaged.
    """
    environment_url = os.environ.get("PENSTOCK_URL") or None
    environment_token = os.environ.get("PENSTOCK_TOKEN") or None
    given = url if url is not None else environment_url
    if given is not None:
        http = normalize_url(given)
        stored_grpc, stored_token = _stored(http)
        if token is None and (url is None or environment_url is None or normalize_url(environment_url) == http):
            # A token in the environment belongs to the address beside it: it is not sent to another one.
            token = environment_token
        return Connection(http, stored_grpc, token or stored_token, "environment" if url is None else "arguments")
    chosen = _chosen_profile()
    if chosen is not None:
        return Connection(chosen.http, None, token or environment_token or chosen.token, f"profile {chosen.name}")
    local = read_local()
    if local is not None and _is_alive(local.pid):
        return Connection(local.http, local.grpc, token or environment_token or local.token, "local server")
    raise NotConnected(NO_SERVER_MESSAGE)


def profiles() -> list[Profile]:
    """The profiles, by name. Raises `InvalidInput` when `config.json` is damaged."""
    content = _read_json(home() / "config.json") or {}
    found = []
    for name, entry in sorted(content.get("profiles", {}).items()):
        found.append(Profile(name, entry["http"], entry["token"], name == content.get("default")))
    return found


def save_profile(name: str, http: str, token: str, *, default: bool = True) -> Profile:
    """Adds or replaces a profile. The first one is the default in any case.

    Raises `InvalidInput` when the name is empty or too long, or `config.json` is damaged.
    """
    if not name or len(name) > PROFILE_NAME_CHARS_MAX:
        raise InvalidInput(f"The name of a profile has 1 to {PROFILE_NAME_CHARS_MAX} characters.")
    path = home() / "config.json"
    content = _read_json(path) or {}
    content.setdefault("profiles", {})[name] = {"http": normalize_url(http), "token": token}
    if default or len(content["profiles"]) == 1:
        content["default"] = name
    _write_json(path, content)
    return Profile(name, normalize_url(http), token, content["default"] == name)


def remove_profile(name: str) -> bool:
    """Forgets a profile. Returns whether there was one."""
    path = home() / "config.json"
    content = _read_json(path) or {}
    if content.get("profiles", {}).pop(name, None) is None:
        return False
    if content.get("default") == name:
        del content["default"]
    _write_json(path, content)
    return True


def read_local() -> LocalServer | None:
    """The server that was last started on this machine and has not said goodbye; None if there is none.

    Its process may be gone all the same, if it was killed. Raises `InvalidInput` when `local.json` is damaged.
    """
    path = home() / "local.json"
    content = _read_json(path)
    if content is None:
        return None
    try:
        return LocalServer(str(content["http"]), str(content["grpc"]), str(content["token"]), int(content["pid"]))
    except (KeyError, TypeError, ValueError):
        raise InvalidInput(_damaged(path)) from None


def write_local(http: str, grpc: str, token: str, pid: int) -> None:
    """Tells clients on this machine of a server that is ready. Called by the launcher."""
    content = {"http": normalize_url(http), "grpc": grpc, "token": token, "pid": pid}
    _write_json(home() / "local.json", content)


def remove_local(pid: int) -> None:
    """Takes back `write_local`, unless another server has written since. Called by the launcher when it stops."""
    local = read_local()
    if local is not None and local.pid == pid:
        (home() / "local.json").unlink(missing_ok=True)


def _chosen_profile() -> Profile | None:
    wanted = os.environ.get("PENSTOCK_PROFILE") or None
    known = profiles()
    for profile in known:
        if profile.name == wanted or (wanted is None and profile.default):
            return profile
    if wanted is not None:
        names = ", ".join(profile.name for profile in known) or "there is none"
        raise NotConnected(
            f"There is no profile {wanted!r} (PENSTOCK_PROFILE); known: {names}. "
            f"Add it with `penstock login URL --profile {wanted}`."
        )
    return None


def _stored(http: str) -> tuple[str | None, str | None]:
    """The gRPC address and the token that are known for an HTTP address."""
    local = read_local()
    if local is not None and local.http == http:
        return local.grpc, local.token
    for profile in profiles():
        if profile.http == http:
            return None, profile.token
    return None, None


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":
        # os.kill with signal 0 ends the process on Windows.
        import psutil

        return psutil.pid_exists(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise InvalidInput(_damaged(path)) from None
    entries = content.get("profiles", {}) if isinstance(content, dict) else None
    whole = isinstance(entries, dict) and all(
        isinstance(entry, dict) and isinstance(entry.get("http"), str) and isinstance(entry.get("token"), str)
        for entry in entries.values()
    )
    if not whole:
        raise InvalidInput(_damaged(path))
    return content


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Written beside and moved, so that a reader sees the old or the new file, and never one that others can read.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _damaged(path: Path) -> str:
    return f"{path} is damaged. Repair it, or remove it and log in again."
