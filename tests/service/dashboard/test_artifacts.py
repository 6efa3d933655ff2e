"""The pages of artifacts and of files, drawn from the real services, and the files over HTTP."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from support.installation import Installation, installation
from support.pages import drawn, settings_of

from penstock.api.registry.v1 import model_pb2
from penstock.api.tracking.v1 import run_pb2, tracking_service_pb2
from penstock.client import Client
from penstock.errors import NotFound
from penstock_dashboard.app import build
from penstock_dashboard.components import files as file_components
from penstock_dashboard.pages import artifacts, models, run_files
from penstock_dashboard.session import COOKIE

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
PAGE = b"<script>alert(1)</script>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("artifacts")
    with installation(folder / "server") as running:
        with Client(running.connection) as client:
            running.run = _fill(client, folder)  # type: ignore[attr-defined]  # what the tests look at
        yield running


def _fill(client: Client, folder: Path) -> str:
    request = tracking_service_pb2.CreateRunRequest(
        parent="projects/default", run=run_pb2.Run(display_name="first reader"), request_id="first"
    )
    run = client.tracking.CreateRun(request).run.name
    source = folder / "source"
    (source / "plots").mkdir(parents=True)
    (source / "plots" / "loss.png").write_bytes(PNG)
    (source / "table.csv").write_text("epoch,loss\n1,0.5\n")
    (source / "page.html").write_bytes(PAGE)
    (source / "weights.bin").write_bytes(bytes(1_234_567))
    version = client.put_artifact(
        "reader #1", source, type="model", description="**Better**", run=run, references={"raw": "s3://bucket/raw"}
    )
    client.put_artifact("table", source / "table.csv", type="dataset")
    client.use_artifact("table/1", run)
    client.put_files(run, source)
    client.register_version("reader", model_pb2.ModelVersion(artifact_version=version.name, run=run))
    return run


@pytest.fixture
def run_id(server: Installation) -> str:
    return server.run.rpartition("/")[2]  # type: ignore[attr-defined]  # see above


@pytest.fixture
async def visitor(server: Installation) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser of somebody who is signed in, at a dashboard of this process."""
    dashboard = build(settings_of(server))
    transport = httpx2.ASGITransport(app=dashboard.asgi)
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://dashboard", cookies={COOKIE: server.connection.token or ""}
    ) as client:
        yield client
    await dashboard.close()


async def test_the_list_of_artifacts(server: Installation) -> None:
    page, text = await drawn(server, artifacts.draw)
    assert (page.title, page.project) == ("Artifacts · default", "default")
    for said in ("/projects/default/artifacts/reader%20%231", "model", "dataset", "1.2 MB stored"):
        assert said in text, said


async def test_an_artifact_with_its_versions(server: Installation) -> None:
    page, text = await drawn(server, artifacts.draw_artifact, artifact="reader%20%231")
    assert page.title == "reader #1"
    for said in ("/projects/default/artifacts/reader%20%231/versions/1", "4 files", "1.2 MB", "**Better**"):
        assert said in text, said


async def test_a_version_with_its_files_and_lineage(server: Installation) -> None:
    parts = {"artifact": "reader%20%231", "number": "1"}
    page, text = await drawn(server, artifacts.draw_version, **parts)
    assert page.title == "reader #1 / 1"
    for said in ("plots", "table.csv", "s3://bucket/raw", "Choose a file", "Written by", "first reader", "reader / 1"):
        assert said in text, said
    assert "loss.png" not in text
    assert "/projects/default/models/reader/versions/1" in text
    _, text = await drawn(server, artifacts.draw_version, "?path=plots%2F", **parts)
    assert "loss.png" in text
    assert "table.csv" not in text
    _, text = await drawn(server, artifacts.draw_version, "?path=plots%2Floss.png", **parts)
    assert "/download/projects/default/artifacts/reader%20%231/versions/1?path=plots%2Floss.png" in text
    assert "preview-image" in text
    _, text = await drawn(server, artifacts.draw_version, "?path=page.html", **parts)
    assert PAGE.decode() in text.replace('\\"', '"')
    _, text = await drawn(server, artifacts.draw_version, "?path=nowhere", **parts)
    assert "has no file" in text
    _, text = await drawn(server, artifacts.draw_version, "?path=raw", **parts)
    assert "Download" not in text
    # The only file of a version is shown at once; `latest` is the newest version.
    _, text = await drawn(server, artifacts.draw_version, artifact="table", number="latest")
    assert "1 row, 2 columns" in text
    assert "Used by" in text


async def test_the_files_of_a_run(server: Installation, run_id: str) -> None:
    page, text = await drawn(server, run_files.draw, run_id=run_id)
    assert page.title == "Files of first reader"
    for said in ("plots", "table.csv", f"/runs/{run_id}/files?path=plots%2F", "Wrote", "Used", "reader #1 / 1"):
        assert said in text, said
    _, text = await drawn(server, run_files.draw, "?path=plots%2Floss.png", run_id=run_id)
    assert f"/download/projects/default/runs/{run_id}?path=plots%2Floss.png" in text
    assert "weights.bin" not in text
    _, text = await drawn(server, run_files.draw, "?path=..", run_id=run_id)
    assert "no file" in text
    with pytest.raises(NotFound):
        await drawn(server, run_files.draw, run_id="0" * 32)


async def test_the_list_of_a_directory_ends_at_its_limit(
    server: Installation, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (run_files, artifacts):
        monkeypatch.setattr(module, "ITEMS_MAX", 2)
    _, text = await drawn(server, run_files.draw, run_id=run_id)
    assert "The first 2 by name." in text
    _, text = await drawn(server, artifacts.draw_version, artifact="reader%20%231", number="1")
    assert "The first 2 of 5." in text
    monkeypatch.setattr(file_components, "IMAGE_BYTES_MAX", len(PNG) - 1)
    _, text = await drawn(server, run_files.draw, "?path=plots%2Floss.png", run_id=run_id)
    assert "too large" in text


async def test_a_version_of_a_model_leads_to_its_files_and_its_run(server: Installation, run_id: str) -> None:
    _, text = await drawn(server, models.draw_version, model="reader", number="1")
    for said in ("/projects/default/artifacts/reader%20%231/versions/1", "first reader", f"/runs/{run_id}"):
        assert said in text, said


async def test_a_file_is_downloaded_and_cannot_act_as_a_page(visitor: httpx2.AsyncClient, run_id: str) -> None:
    for owner in ("projects/default/artifacts/reader%20%231/versions/1", f"projects/default/runs/{run_id}"):
        answer = await visitor.get(f"/download/{owner}?path=page.html")
        assert (answer.status_code, answer.content) == (200, PAGE)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''page.html"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert answer.headers["content-length"] == str(len(PAGE))
        image = await visitor.get(f"/download/{owner}?path=plots/loss.png")
        assert (image.headers["content-type"], image.content) == ("image/png", PNG)
        assert image.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("asked", "status", "content", "told"),
    [
        ("bytes=0-3", 206, PNG[:4], f"bytes 0-3/{len(PNG)}"),
        ("bytes=10-", 206, PNG[10:], f"bytes 10-{len(PNG) - 1}/{len(PNG)}"),
        (f"bytes={len(PNG) - 1}-99999", 206, PNG[-1:], f"bytes {len(PNG) - 1}-{len(PNG) - 1}/{len(PNG)}"),
        ("bytes=5-4", 200, PNG, None),
        ("bytes=-4", 200, PNG, None),
        ("bytes=0-1,4-5", 200, PNG, None),
        (f"bytes={len(PNG)}-", 416, None, None),
        ("bytes=999999-", 416, None, None),
    ],
)
async def test_ranges(
    visitor: httpx2.AsyncClient, run_id: str, asked: str, status: int, content: bytes | None, told: str | None
) -> None:
    answer = await visitor.get(
        f"/download/projects/default/runs/{run_id}?path=plots/loss.png", headers={"range": asked}
    )
    assert answer.status_code == status
    assert content is None or answer.content == content
    assert answer.headers.get("content-range") == told


async def test_what_is_not_there_and_who_may_not(visitor: httpx2.AsyncClient, run_id: str) -> None:
    run = f"/download/projects/default/runs/{run_id}"
    for path, status, reason in (
        (f"{run}?path=nothing", 404, "FILE_NOT_FOUND"),
        (f"{run}?path=../../etc/passwd", 404, "FILE_NOT_FOUND"),
        (run, 400, "REQUEST_INVALID"),
        ("/download/etc/passwd?path=x", 400, "NAME_INVALID"),
        ("/download/projects/default/artifacts/reader%20%231/versions/1?path=raw", 409, "REFERENCE_NOT_STORED"),
        ("/download/projects/elsewhere/runs/" + "0" * 32 + "?path=x", 404, "PROJECT_NOT_FOUND"),
    ):
        answer = await visitor.get(path)
        assert (answer.status_code, answer.json()["reason"]) == (status, reason), path
        assert answer.headers["x-content-type-options"] == "nosniff"
    visitor.cookies.clear()
    assert (await visitor.get(f"{run}?path=page.html")).headers["location"].startswith("/sign-in?next=")
    visitor.cookies.set(COOKIE, "pst_wrong")
    assert (await visitor.get(f"{run}?path=page.html")).status_code == 401
