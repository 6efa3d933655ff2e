"""Scopes, lifetimes and the order of signing keys."""

import pytest

from penstock_auth.domain import (
    EVERYTHING,
    KEY_ANNOUNCEMENT_S,
    KEY_LIFETIME_S,
    REVOCATION_FEED_S,
    CredentialKind,
    Grant,
    Project,
    Role,
    Scope,
    SigningKey,
    Token,
    keys_to_retire,
    signing_key,
)

S = 1_000_000


def _scope(*projects: str, role: Role = Role.ADMIN) -> Scope:
    return Scope(frozenset(projects), role)


def _key(ordinal: int, create_s: int) -> SigningKey:
    return SigningKey(f"key-{ordinal}", ordinal, {}, create_s * S)


def _token(**fields: object) -> Token:
    values: dict[str, object] = {
        "id": "0" * 32,
        "kind": CredentialKind.PERSONAL,
        "principal": "users/ada",
        "title": "laptop",
        "scope": EVERYTHING,
        "secret_sha256": b"",
        "create_time_us": 0,
    }
    return Token(**(values | fields))  # type: ignore[arg-type] # a table of fields


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        (EVERYTHING, EVERYTHING, True),
        (EVERYTHING, _scope("a", role=Role.VIEWER), True),
        (_scope("a", "b"), _scope("a"), True),
        (_scope("a", "b"), _scope("a", "b"), True),
        (_scope("a"), _scope("a", "b"), False),
        (_scope("a"), _scope("b"), False),
        # Empty means everything, which no limited token covers.
        (_scope("a"), _scope(), False),
        (_scope(role=Role.EDITOR), _scope(role=Role.ADMIN), False),
        (_scope(role=Role.EDITOR), _scope("a", role=Role.EDITOR), True),
        (_scope("a", role=Role.VIEWER), _scope("a", role=Role.EDITOR), False),
    ],
)
def test_a_scope_covers_what_reaches_no_further(wide: Scope, narrow: Scope, covered: bool) -> None:
    assert wide.covers(narrow) is covered


def test_a_token_is_good_until_the_moment_of_its_end() -> None:
    token = _token(expire_time_us=10 * S)
    assert token.good(10 * S - 1)
    assert token.expired(10 * S)
    assert not token.good(10 * S)


def test_a_token_without_end_is_good_for_ever_unless_revoked() -> None:
    assert _token().good(2**62)
    assert not _token(revoke_time_us=1).good(0)


def test_names_and_etags() -> None:
    project = Project("vision", "", "", "", 0, 0, version=11)
    assert (project.name, project.etag) == ("projects/vision", "b")
    assert Grant("vision", "users/ada.l", Role.VIEWER).name == "projects/vision/grants/ada.l"


def test_the_first_key_signs_at_once() -> None:
    assert signing_key([_key(1, create_s=100)], 100 * S).ordinal == 1


def test_a_new_key_signs_only_after_it_was_announced() -> None:
    keys = [_key(2, create_s=KEY_LIFETIME_S), _key(1, create_s=0)]
    announced_s = KEY_LIFETIME_S + KEY_ANNOUNCEMENT_S
    assert signing_key(keys, announced_s * S - 1).ordinal == 1
    assert signing_key(keys, announced_s * S).ordinal == 2


def test_an_old_key_stays_until_the_last_token_it_signed_is_dead() -> None:
    keys = [_key(2, create_s=KEY_LIFETIME_S), _key(1, create_s=0)]
    dead_s = KEY_LIFETIME_S + KEY_ANNOUNCEMENT_S + REVOCATION_FEED_S
    assert keys_to_retire(keys, dead_s * S - 1) == []
    assert [key.ordinal for key in keys_to_retire(keys, dead_s * S)] == [1]


def test_the_only_key_is_never_retired() -> None:
    assert keys_to_retire([_key(1, create_s=0)], 2**62) == []
