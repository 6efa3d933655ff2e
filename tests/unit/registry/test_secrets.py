"""How secrets are sealed, and where the keys come from."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from penstock_kit.settings import SettingsError
from penstock_registry.events.secrets import SecretBox, SecretUnreadable, read_keys

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


def test_what_is_sealed_is_opened_with_the_same_key_alone() -> None:
    sealed = SecretBox([OLD]).seal(b"very secret")
    assert "very" not in sealed
    assert SecretBox([OLD]).open(sealed) == b"very secret"
    with pytest.raises(SecretUnreadable):
        SecretBox([NEW]).open(sealed)
    with pytest.raises(SecretUnreadable):
        SecretBox([OLD]).open(sealed[:-4] + "AAAA")


def test_a_key_is_replaced_by_one_above_it() -> None:
    both = SecretBox([NEW, OLD])
    sealed = SecretBox([OLD]).seal(b"s")
    assert both.open(sealed) == b"s"
    renewed = both.renewed(sealed)
    assert SecretBox([NEW]).open(renewed) == b"s"
    assert both.renewed(renewed) == renewed


def test_the_file_of_keys_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "secrets.key"
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: read_keys(file), range(8)))
    assert all(keys == found[0] for keys in found)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["secrets.key"]
    file.write_text(f"{NEW}\n{OLD}\n")
    assert read_keys(file) == [NEW, OLD]


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"short", b"\xff\xfe", OLD.encode() + b"\nshort"],
    ids=["empty", "blank", "short", "no text", "second short"],  # keys are random, and names of tests are not
)
def test_what_is_no_key_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secrets.key"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        read_keys(file)
    assert str(file) in str(refused.value)
    assert "short" not in str(refused.value)
    with pytest.raises(SettingsError):
        read_keys(tmp_path)
