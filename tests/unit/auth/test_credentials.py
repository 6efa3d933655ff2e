"""The format of secrets, and credential files."""

import hashlib
import os
from pathlib import Path

import pytest

from penstock_auth.credentials import mint_secret, parse_secret, read_secret_file, write_secret_file
from penstock_auth.domain import CredentialKind
from penstock_auth.errors import StartError

HEX32 = "0123456789abcdef" * 2


@pytest.mark.parametrize("kind", CredentialKind)
def test_a_minted_secret_can_be_read_again(kind: CredentialKind) -> None:
    secret = mint_secret(kind)
    assert parse_secret(secret.text) == secret
    assert secret.text.startswith(f"{kind.value}_{secret.id}_")
    assert len(secret.text) <= 256  # the limit of ExchangeTokenRequest.secret


def test_a_secret_proves_its_digest_and_no_other() -> None:
    secret, other = mint_secret(CredentialKind.PERSONAL), mint_secret(CredentialKind.PERSONAL)
    assert secret.sha256 == hashlib.sha256(secret.text.encode()).digest()
    assert secret.proves(secret.sha256)
    assert not secret.proves(other.sha256)


def test_the_text_of_a_secret_is_not_in_its_repr() -> None:
    secret = mint_secret(CredentialKind.SESSION)
    assert secret.text.rsplit("_", 1)[1] not in repr(secret)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pst",
        f"pst_{HEX32}",
        f"pst_{HEX32}_",
        f"pst_{HEX32}_{HEX32}",
        f"pst_{HEX32}_{HEX32}{HEX32}\n",
        f" pst_{HEX32}_{HEX32}{HEX32}",
        f"PST_{HEX32}_{HEX32}{HEX32}",
        f"xyz_{HEX32}_{HEX32}{HEX32}",
        f"pst_{HEX32.upper()}_{HEX32}{HEX32}",
        f"pst_{HEX32}_{HEX32}{HEX32}0",
    ],
)
def test_what_is_not_a_secret_is_not_read_as_one(text: str) -> None:
    assert parse_secret(text) is None


def test_a_credential_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "deeper" / "owner.token"
    old_mask = os.umask(0)
    try:
        write_secret_file(file, mint_secret(CredentialKind.PERSONAL))
        replacement = mint_secret(CredentialKind.PERSONAL)
        write_secret_file(file, replacement)
    finally:
        os.umask(old_mask)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert read_secret_file(file) == replacement
    assert [path.name for path in file.parent.iterdir()] == ["owner.token"]


def test_a_missing_or_damaged_credential_file_reads_as_none(tmp_path: Path) -> None:
    file = tmp_path / "owner.token"
    assert read_secret_file(file) is None
    file.write_bytes(b"\xff\xfe garbage")
    assert read_secret_file(file) is None


def test_a_credential_file_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match=r"owner\.token.*writable"):
        write_secret_file(tmp_path / "file" / "owner.token", mint_secret(CredentialKind.PERSONAL))


def test_a_credential_path_that_cannot_be_read_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="Cannot read the credential file"):
        read_secret_file(tmp_path)  # a directory
