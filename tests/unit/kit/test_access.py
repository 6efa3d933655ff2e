"""Roles, grants and access rules."""

from contextvars import copy_context

import pytest

from penstock.api.auth.v1 import auth_service_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as tracking
from penstock_kit.access import (
    ROLE_PERMISSIONS,
    AccessScope,
    Caller,
    Grants,
    PrincipalKind,
    ProjectNotFound,
    Role,
    TokenRevoked,
    access_rule,
    act_as,
    current_caller,
)
from penstock_kit.errors import PermissionDenied
from penstock_kit.interceptors.authorize import projects_named
from penstock_kit.names import NameInvalid

SERVICES = [
    auth_service_pb2.DESCRIPTOR.services_by_name["AuthService"],
    tracking.DESCRIPTOR.services_by_name["TrackingService"],
]
GRANTS = Grants(
    roles={("a", "users/viewer"): Role.VIEWER, ("a", "users/editor"): Role.EDITOR, ("a", "users/admin"): Role.ADMIN},
    projects=frozenset({"a", "b"}),
    owners=frozenset({"users/owner"}),
    revoked_tokens=frozenset({"tokens/gone"}),
)


def caller(
    principal: str,
    *,
    projects: frozenset[str] = frozenset(),
    role: Role = Role.ADMIN,
    token: str = "tokens/1",
    owner: bool | None = None,
) -> Caller:
    kind = PrincipalKind.SERVICE if principal.startswith("services/") else PrincipalKind.USER
    return Caller(principal, kind, token, projects, role, principal == "users/owner" if owner is None else owner)


def test_values_are_those_of_the_contract() -> None:
    assert {f"ROLE_{role.name}": role.value for role in Role}.items() <= dict(auth_service_pb2.Role.items()).items()
    kinds = {f"PRINCIPAL_KIND_{kind.name}": kind.value for kind in PrincipalKind}
    assert kinds.items() <= dict(auth_service_pb2.PrincipalKind.items()).items()


def test_each_role_contains_the_ones_before() -> None:
    assert ROLE_PERMISSIONS[Role.VIEWER] < ROLE_PERMISSIONS[Role.EDITOR] < ROLE_PERMISSIONS[Role.ADMIN]


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_every_method_of_the_contract_has_a_rule(service: object) -> None:
    for method in service.methods:  # type: ignore[attr-defined] - a descriptor
        access_rule(method)


def test_rule_of_a_method() -> None:
    rule = access_rule(SERVICES[1].methods_by_name["StreamMetrics"])
    assert (rule.scope, rule.permission, rule.resource_field) == (AccessScope.PROJECT, "runs.write", "open.run")


@pytest.mark.parametrize("permission", sorted(ROLE_PERMISSIONS[Role.ADMIN]))
@pytest.mark.parametrize("lent", Role)
@pytest.mark.parametrize("held", [*Role, None])
def test_the_lesser_of_held_and_lent_role_decides(held: Role | None, lent: Role, permission: str) -> None:
    principal = f"users/{held.name.lower()}" if held else "users/stranger"
    allowed = held is not None and permission in ROLE_PERMISSIONS[min(held, lent)]
    try:
        GRANTS.check(caller(principal, role=lent), permission, "a")
    except PermissionDenied:
        assert not allowed
    else:
        assert allowed


def test_owner_reaches_every_project_and_creates_more() -> None:
    for project in ("a", "b", None):
        GRANTS.check(caller("users/owner"), "projects.create" if project is None else "projects.manage", project)
    with pytest.raises(ProjectNotFound):
        GRANTS.check(caller("users/owner"), "runs.read", "c")
    with pytest.raises(PermissionDenied):
        GRANTS.check(caller("users/owner"), "grants.watch", None)


@pytest.mark.parametrize(
    "limited",
    [
        caller("users/owner", projects=frozenset({"a"})),
        caller("users/owner", role=Role.EDITOR),
        caller("users/viewer", owner=True),
        caller("users/owner", owner=False),
    ],
)
def test_limited_or_claimed_ownership_creates_no_project(limited: Caller) -> None:
    with pytest.raises(PermissionDenied):
        GRANTS.check(limited, "projects.create", None)


def test_missing_project_is_not_told_to_strangers() -> None:
    for project in ("b", "missing"):
        with pytest.raises(PermissionDenied):
            GRANTS.check(caller("users/viewer"), "runs.read", project)


def test_service_watches_grants_and_reads() -> None:
    service = caller("services/platform")
    GRANTS.check(service, "grants.watch", None)
    GRANTS.check(service, "runs.read", "b")
    for permission, project in (("runs.write", "b"), ("projects.create", None)):
        with pytest.raises(PermissionDenied):
            GRANTS.check(service, permission, project)


def test_revoked_token_does_nothing() -> None:
    with pytest.raises(TokenRevoked):
        GRANTS.check(caller("users/owner", token="tokens/gone"), "runs.read", "a")


def test_current_caller_is_the_one_acting() -> None:
    with pytest.raises(LookupError):
        current_caller()

    def act() -> str:
        act_as(caller("users/owner"))
        return current_caller().principal

    assert copy_context().run(act) == "users/owner"


def test_every_named_project_is_found() -> None:
    request = tracking.ListMetricKeysRequest(runs=["projects/a/runs/1", "projects/b/runs/1", "projects/a/runs/2"])
    assert projects_named(request, "runs") == ["a", "b"]
    nested = tracking.UpdateRunRequest()
    nested.run.name = "projects/a-1/runs/1"
    assert projects_named(nested, "run.name") == ["a-1"]


@pytest.mark.parametrize("runs", [[], [""], ["projects/a/runs/1", "b"], ["projects/A/runs/1"], ["xprojects/a"]])
def test_missing_or_malformed_names_are_refused(runs: list[str]) -> None:
    with pytest.raises(NameInvalid):
        projects_named(tracking.ListMetricKeysRequest(runs=runs), "runs")


@pytest.mark.parametrize("name", ["projects/a\n", "projects/a/../b", "projects/" + "a" * 64])
def test_tricks_with_names(name: str) -> None:
    request = tracking.GetRunRequest(name=name)
    try:
        assert projects_named(request, "name") == ["a"], "the first segment counts; the handler parses the rest"
    except NameInvalid:
        assert name != "projects/a/../b"
