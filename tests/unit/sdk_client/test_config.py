"""Where the SDK finds its server, and what it writes down."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from penstock import config
from penstock.errors import InvalidInput, NotConnected


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PENSTOCK_URL", "PENSTOCK_TOKEN", "PENSTOCK_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_home_is_moved_by_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.home() == home
    assert config.spool_dir() == home / "spool"
    assert config.data_dir() == home / "data"
    monkeypatch.delenv("PENSTOCK_HOME")
    assert config.home() == Path.home() / ".penstock"


def test_without_anything_the_message_says_what_to_do() -> None:
    with pytest.raises(NotConnected) as raised:
        config.resolve()
    assert "penstock up" in raised.value.message
    assert "PENSTOCK_URL" in raised.value.message
    assert "penstock login" in raised.value.message


def test_arguments_go_before_environment_before_profile_before_local(monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_local("http://127.0.0.1:1", "127.0.0.1:2", "pst_local", os.getpid())
    local = config.resolve()
    assert (local.http, local.grpc, local.token) == ("http://127.0.0.1:1", "127.0.0.1:2", "pst_local")
    assert local.source == "local server"

    config.save_profile("lab", "https://lab:7070", "pst_lab")
    profile = config.resolve()
    assert (profile.http, profile.grpc, profile.token) == ("https://lab:7070", None, "pst_lab")
    assert profile.source == "profile lab"

    monkeypatch.setenv("PENSTOCK_URL", "http://env:1/")
    monkeypatch.setenv("PENSTOCK_TOKEN", "pst_env")
    environment = config.resolve()
    assert (environment.http, environment.token, environment.source) == ("http://env:1", "pst_env", "environment")

    arguments = config.resolve("http://arg:1", "pst_arg")
    assert (arguments.http, arguments.token, arguments.source) == ("http://arg:1", "pst_arg", "arguments")


def test_the_token_of_one_server_is_not_sent_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_URL", "http://env:1")
    monkeypatch.setenv("PENSTOCK_TOKEN", "pst_env")
    config.save_profile("lab", "https://lab:7070", "pst_lab")
    assert config.resolve("http://other:1").token is None
    assert config.resolve("http://env:1/").token == "pst_env"
    assert config.resolve("https://lab:7070").token == "pst_lab"


def test_an_address_in_the_environment_borrows_the_stored_token(monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_local("http://127.0.0.1:1", "127.0.0.1:2", "pst_local", os.getpid())
    monkeypatch.setenv("PENSTOCK_URL", "http://127.0.0.1:1")
    connection = config.resolve()
    assert (connection.grpc, connection.token) == ("127.0.0.1:2", "pst_local")


def test_a_profile_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    config.save_profile("lab", "https://lab:7070", "pst_lab")
    config.save_profile("home", "https://home:7070", "pst_home", default=False)
    assert config.resolve().token == "pst_lab"
    monkeypatch.setenv("PENSTOCK_PROFILE", "home")
    assert config.resolve().token == "pst_home"
    monkeypatch.setenv("PENSTOCK_PROFILE", "nowhere")
    with pytest.raises(NotConnected, match="home, lab"):
        config.resolve()


def test_profiles_are_listed_replaced_and_removed() -> None:
    config.save_profile("b", "http://b", "pst_1")
    config.save_profile("a", "http://a", "pst_2")
    config.save_profile("a", "http://a", "pst_3")
    assert [(p.name, p.token, p.default) for p in config.profiles()] == [("a", "pst_3", True), ("b", "pst_1", False)]
    assert config.remove_profile("a")
    assert not config.remove_profile("a")
    assert [p.name for p in config.profiles()] == ["b"]


@pytest.mark.parametrize("name", ["", "x" * 101])
def test_a_profile_needs_a_name_of_allowed_length(name: str) -> None:
    with pytest.raises(InvalidInput):
        config.save_profile(name, "http://a", "pst_1")
    config.save_profile("x" * 100, "http://a", "pst_1")


def test_files_with_secrets_are_for_their_owner_alone(home: Path) -> None:
    old = os.umask(0)
    try:
        config.save_profile("lab", "https://lab:7070", "pst_lab")
        config.write_local("http://127.0.0.1:1", "127.0.0.1:2", "pst_local", os.getpid())
    finally:
        os.umask(old)
    for name in ("config.json", "local.json"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    assert sorted(path.name for path in home.iterdir()) == ["config.json", "local.json"]


def test_secrets_are_not_shown() -> None:
    config.write_local("http://127.0.0.1:1", "127.0.0.1:2", "pst_secret", os.getpid())
    profile = config.save_profile("lab", "https://lab:7070", "pst_secret")
    assert "pst_secret" not in f"{config.resolve()!r} {config.read_local()!r} {profile!r}"


def test_a_local_server_whose_process_is_gone_is_none() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    config.write_local("http://127.0.0.1:1", "127.0.0.1:2", "pst_local", process.pid)
    assert config.read_local() is not None
    with pytest.raises(NotConnected):
        config.resolve()


def test_only_the_server_that_wrote_it_takes_it_back() -> None:
    config.write_local("http://127.0.0.1:1", "127.0.0.1:2", "pst_local", os.getpid())
    config.remove_local(os.getpid() + 1)
    assert config.read_local() is not None
    config.remove_local(os.getpid())
    assert config.read_local() is None


@pytest.mark.parametrize("content", ["{", "[]", '{"profiles": []}', '{"profiles": {"a": {}}}', "\x00"])
def test_a_damaged_file_is_named(home: Path, content: str) -> None:
    home.mkdir()
    (home / "config.json").write_text(content)
    with pytest.raises(InvalidInput, match=r"config\.json"):
        config.resolve()
    (home / "config.json").unlink()
    (home / "local.json").write_text('{"http": "http://127.0.0.1:1"}')
    with pytest.raises(InvalidInput, match=r"local\.json"):
        config.resolve()


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("localhost:7070", "http://localhost:7070"),
        ("HTTP://Lab:7070/", "http://lab:7070"),
        (" https://lab ", "https://lab"),
        ("http://[::1]:7070", "http://[::1]:7070"),
        ("https://lab/penstock/", "https://lab/penstock"),
    ],
)
def test_addresses_are_normalised(given: str, normal: str) -> None:
    assert config.normalize_url(given) == normal


@pytest.mark.parametrize(
    "given",
    ["", "http://", "ftp://lab", "http://lab:x", "http://lab:99999", "http://a b", "http://lab?x=1", "http://lab#x"],
)
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(InvalidInput):
        config.normalize_url(given)


def test_a_token_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidInput) as raised:
        config.normalize_url("http://token:pst_secret@lab:7070")
    assert "pst_secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("http", "loopback"),
    [
        ("http://localhost:1", True),
        ("http://127.0.0.9:1", True),
        ("http://[::1]:1", True),
        ("http://lab:1", False),
        ("http://127.0.0.1.example:1", False),
    ],
)
def test_loopback_is_recognised(http: str, loopback: bool) -> None:
    assert config.is_loopback(http) is loopback
