"""Settings from environment variables."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from penstock_kit.listening import ServerSettings, is_loopback
from penstock_kit.settings import SettingsError, load


@dataclass(frozen=True)
class Sample:
    address: str
    workers: int = 2
    share: float = 0.5
    verbose: bool = False
    data_dir: Path = Path("data")
    key_file: Path | None = None
    driver: Literal["motor", "pymongo"] = "motor"


def test_reads_each_type() -> None:
    environ = {
        "P_ADDRESS": "127.0.0.1:1",
        "P_WORKERS": "7",
        "P_SHARE": "0.25",
        "P_VERBOSE": "Yes",
        "P_DATA_DIR": "/srv",
        "P_KEY_FILE": "key.pem",
        "P_DRIVER": "pymongo",
        "P_UNRELATED": "x",
    }
    assert load(Sample, "P", environ) == Sample("127.0.0.1:1", 7, 0.25, True, Path("/srv"), Path("key.pem"), "pymongo")


def test_absent_and_empty_leave_the_default() -> None:
    assert load(Sample, "P", {"P_ADDRESS": "a", "P_WORKERS": "", "P_KEY_FILE": ""}) == Sample("a")


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "P_ADDRESS is not set, and it has no default: set it to a text"),
        ({"P_ADDRESS": "a", "P_WORKERS": "many"}, "P_WORKERS cannot be read: set it to a whole number"),
        ({"P_ADDRESS": "a", "P_SHARE": "half"}, "P_SHARE cannot be read: set it to a number"),
        ({"P_ADDRESS": "a", "P_VERBOSE": "maybe"}, "P_VERBOSE cannot be read: set it to true or false"),
        ({"P_ADDRESS": "a", "P_DRIVER": "Motor"}, "P_DRIVER cannot be read: set it to motor or pymongo"),
    ],
)
def test_errors_name_the_variable_and_the_remedy(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load(Sample, "P", environ)


def test_wrong_value_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as caught:
        load(Sample, "P", {"P_ADDRESS": "a", "P_WORKERS": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_server_settings_load() -> None:
    settings = load(ServerSettings, "PENSTOCK_AUTH", {"PENSTOCK_AUTH_DRAIN_S": "3", "PENSTOCK_AUTH_TLS_KEY_FILE": "k"})
    assert settings == ServerSettings(drain_s=3.0, tls_key_file=Path("k"))


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("localhost.example:1", False),
        ("127.0.0.1.example:1", False),
    ],
)
def test_loopback(address: str, answer: bool) -> None:
    assert is_loopback(address) is answer
