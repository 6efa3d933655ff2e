"""Messages to records and back."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from penstock.api.auth.v1 import auth_service_pb2 as pb
from penstock_auth import convert
from penstock_auth.domain import CredentialKind, Role, Scope, Token
from penstock_auth.errors import FieldMaskInvalid
from penstock_auth.service import ProjectUpdate
from penstock_kit.access import Grants
from penstock_kit.access import Role as KitRole
from penstock_kit.names import NameInvalid


def test_times_keep_their_microseconds() -> None:
    stamp = convert.timestamp(1_700_000_000_123_456)
    assert (stamp.seconds, stamp.nanos) == (1_700_000_000, 123_456_000)
    assert convert.duration_us(Duration(seconds=90, nanos=500_000_000)) == 90_500_000


def test_a_grant_name_is_parsed_and_printed_alike() -> None:
    assert convert.parse_grant_name("projects/vision/grants/ada.l") == ("vision", "users/ada.l")


@pytest.mark.parametrize(
    "name", ["", "projects/vision", "projects/vision/grants/", "projects/vision/grants/a/b", "projects/V/grants/ada"]
)
def test_a_malformed_grant_name_is_refused(name: str) -> None:
    with pytest.raises(NameInvalid):
        convert.parse_grant_name(name)


@pytest.mark.parametrize(
    ("paths", "title", "description"),
    [
        ([], "new", "words"),
        (["title"], "new", None),
        (["description"], None, "words"),
        (["title", "description"], "new", "words"),
    ],
)
def test_a_mask_says_what_changes(paths: list[str], title: str | None, description: str | None) -> None:
    request = pb.UpdateProjectRequest(
        project=pb.Project(name="projects/vision", title="new", description="words", etag="3"),
        update_mask=FieldMask(paths=paths),
    )
    assert convert.project_update(request) == ProjectUpdate(title, description, "3")


@pytest.mark.parametrize("path", ["name", "create_time", "etag", "title.x", "*", ""])
def test_a_mask_names_only_what_can_change(path: str) -> None:
    with pytest.raises(FieldMaskInvalid):
        convert.project_update(pb.UpdateProjectRequest(update_mask=FieldMask(paths=["title", path])))


def test_a_token_message_has_nothing_of_the_secret() -> None:
    token = Token(
        id="0" * 32,
        kind=CredentialKind.PERSONAL,
        principal="users/ada",
        title="laptop",
        scope=Scope(frozenset({"b", "a"}), Role.EDITOR),
        secret_sha256=b"digest-digest-digest-digest-dige",
        create_time_us=1_000_000,
    )
    message = convert.token_message(token)
    assert list(message.projects) == ["projects/a", "projects/b"]
    assert message.role == pb.ROLE_EDITOR
    assert not message.HasField("expire_time")
    assert not message.HasField("last_use_time")
    assert token.secret_sha256 not in message.SerializeToString()


def test_a_beat_is_not_a_snapshot() -> None:
    assert convert.picture_message(None) == pb.WatchGrantsResponse(snapshot=False)


def test_a_snapshot_has_everything() -> None:
    message = convert.picture_message(
        Grants(
            roles={("vision", "users/ada"): KitRole.EDITOR},
            projects=frozenset({"vision", "audio"}),
            owners=frozenset({"users/owner"}),
            revoked_tokens=frozenset({"tokens/" + "0" * 32}),
        )
    )
    assert message.snapshot
    assert [grant.name for grant in message.grants] == ["projects/vision/grants/ada"]
    assert list(message.projects) == ["projects/audio", "projects/vision"]
    assert list(message.owners) == ["users/owner"]
    assert list(message.revoked_tokens) == ["tokens/" + "0" * 32]
