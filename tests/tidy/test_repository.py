"""Rules about the repository that would otherwise be said in reviews."""

import re
import subprocess
from pathlib import Path

import pytest
from google.protobuf.descriptor import MethodDescriptor

from penstock.api.artifact.v1 import artifact_service_pb2
from penstock.api.auth.v1 import auth_service_pb2
from penstock.api.common.v1 import access_pb2
from penstock.api.registry.v1 import registry_service_pb2
from penstock.api.tracking.v1 import tracking_service_pb2

ROOT = Path(__file__).parents[2]
SERVICES = ("auth", "tracking", "registry", "artifact")
COMMON_ROOMS = ("__main__", "app", "servicer", "convert", "service", "store", "domain", "errors", "settings", "jobs")
METHODS: list[MethodDescriptor] = [
    method
    for file in (auth_service_pb2, tracking_service_pb2, registry_service_pb2, artifact_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("room", COMMON_ROOMS)
def test_every_service_has_the_common_rooms(service: str, room: str) -> None:
    package = ROOT / "services" / service / "src" / f"penstock_{service}"
    assert (package / f"{room}.py").is_file() or (package / room).is_dir()


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_a_page_that_explains_it(service: str) -> None:
    page = (ROOT / "services" / service / "README.md").read_text()
    assert len(page) > 500
    for room in ("service", "store", "domain"):
        assert f"`{room}`" in page or f"`{room}.py`" in page


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_every_rpc_says_who_may_call_it(method: MethodDescriptor) -> None:
    rule = method.GetOptions().Extensions[access_pb2.access]
    assert rule.scope != access_pb2.ACCESS_SCOPE_UNSPECIFIED
    if rule.scope == access_pb2.ACCESS_SCOPE_PROJECT:
        assert rule.permission
        field = method.input_type
        for part in rule.resource_field.split("."):
            found = field.fields_by_name[part]
            field = found.message_type


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_every_rpc_is_called_by_a_test(method: MethodDescriptor) -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "service").rglob("*.py"))
    assert re.search(rf"\b{method.name}\b", tests), f"no test under tests/service calls {method.full_name}"


FORBIDDEN = {
    "a package registry's host": re.compile(
        # Put together here, so that this file does not name them either.
        "|".join(rf"{host}\.org" for host in ("pypi", r"files\.pythonhosted", r"registry\.npmjs", r"proxy\.golang"))
    ),
    "a path of one machine": re.compile("/" + r"(?:root|work|home/\w+)/"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what: str) -> None:
    found = []
    for path in tracked_files():
        if path.suffix in {".png", ".ico", ".woff2"} or "protos/google" in str(path) or "protos/buf/" in str(path):
            continue
        text = path.read_text(errors="replace")
        if match := FORBIDDEN[what].search(text):
            found.append(f"{path.relative_to(ROOT)}: {match[0]}")
    assert not found


def test_no_lock_file_that_records_hosts() -> None:
    assert not [path for path in tracked_files() if path.name in {"uv.lock", "package-lock.json", "poetry.lock"}]


def test_the_commands_of_the_readme_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"`make ([a-z-]+)`", readme)) | set(re.findall(r"^make ([a-z-]+)", readme, re.MULTILINE))
    assert {"run", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"README names make {target}"


def test_no_exemption_without_a_reason() -> None:
    kinds = r"noqa(?::\s*[A-Z0-9, ]+)?|(?:type|pyrefly):\s*ignore(?:\[[a-z, -]+\])?"
    bare = re.compile(rf"#\s*(?:{kinds})\s*$")
    found = []
    for path in tracked_files():
        if path.suffix != ".py" or "penstock/api/" in str(path):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if bare.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not found, "an exemption carries its reason on the same line"
