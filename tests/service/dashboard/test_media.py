"""Media and alerts of a run, drawn from the real services."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plotly.utils import PlotlyJSONEncoder
from support.installation import Installation, installation
from support.pages import drawn

from penstock.api.artifact.v1 import artifact_service_pb2, file_pb2, media_pb2
from penstock.api.tracking.v1 import alert_pb2, run_pb2, tracking_service_pb2
from penstock.client import AsyncClient, Client
from penstock_dashboard.pages import media, run

FILES = {
    "image.png": (media_pb2.MEDIA_KIND_IMAGE, b"\x89PNG\r\n\x1a\n"),
    "film.mp4": (media_pb2.MEDIA_KIND_VIDEO, b"\0\0\0\x20ftypisom"),
    "film.gif": (media_pb2.MEDIA_KIND_VIDEO, b"GIF89a"),
    "sound.wav": (media_pb2.MEDIA_KIND_AUDIO, b"RIFF\0\0\0\0WAVE"),
    "table.csv": (media_pb2.MEDIA_KIND_TABLE, b"label,score\n7,0.5\n"),
    "weights.json": (media_pb2.MEDIA_KIND_HISTOGRAM, b'{"edges": [0, 1, 3], "counts": [5, 2]}'),
    "plot.json": (
        media_pb2.MEDIA_KIND_PLOT,
        b'{"data": [{"type": "scatter", "y": [41, 42]}], "layout": {"width": 9000}}',
    ),
    "broken.json": (media_pb2.MEDIA_KIND_HISTOGRAM, b'{"edges": [0, 1], "counts": [5, 2]}'),
    "deep.json": (media_pb2.MEDIA_KIND_PLOT, b"[" * 100_000),
    "list.json": (media_pb2.MEDIA_KIND_PLOT, b'{"data": 3}'),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("media")) as running:
        yield running


@pytest.fixture(scope="module")
def run_name(server: Installation, tmp_path_factory: pytest.TempPathFactory) -> str:
    with Client(server.connection) as client:
        name = _run(client)
        folder = tmp_path_factory.mktemp("files")
        for step in (0, 20):
            for path, (_, content) in FILES.items():
                file = folder / str(step) / path
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(content)
        client.put_files(name, folder)
        found = [entry.file for entry in client.files(name, recursive=True)]
        marked = [
            file_pb2.File(
                path=file.path,
                blob=file.blob,
                media=media_pb2.Media(
                    key=Path(file.path).stem,
                    kind=FILES[Path(file.path).name][0],
                    step=int(Path(file.path).parent.name),
                    rank=1,
                    caption=f"caption of {file.path}",
                ),
            )
            for file in found
        ]
        client.artifact_service.PutFiles(artifact_service_pb2.PutFilesRequest(parent=name, files=marked))
        for number in range(3):
            alert = alert_pb2.Alert(title=f"alert {number}", text="why", level=alert_pb2.ALERT_LEVEL_WARN, step=1234)
            client.tracking.CreateAlert(
                tracking_service_pb2.CreateAlertRequest(parent=name, alert_id=f"{number:032x}", alert=alert)
            )
        return name


def _run(client: Client) -> str:
    request = tracking_service_pb2.CreateRunRequest(parent="projects/default", run=run_pb2.Run(display_name="reader"))
    return client.tracking.CreateRun(request).run.name


def text_of(content: Any) -> str:
    return json.dumps(content, cls=PlotlyJSONEncoder, ensure_ascii=False)


async def test_media_are_shown_by_key_at_the_last_step(server: Installation, run_name: str) -> None:
    async with AsyncClient(server.connection) as client:
        text = text_of(await media.media_of(client, run_name))
        for said in ("step 20", "caption of 20/image.png", "rank 1", "preview-image", "preview-video", "preview-audio"):
            assert said in text, said
        assert "caption of 20/film.gif" in text
        assert f"/download/{run_name}?path=20%2Fimage.png" in text
        assert f"/download/{run_name}?path=0%2Fimage.png" not in text
        for said in ("1 row, 2 columns", '"x": [0.5, 2.0]', '"y": [5.0, 2.0]', "[41, 42]"):
            assert said in text, said
        # Whatever size a figure wants, it takes that of its card.
        assert "9000" not in text
        assert text.count("The figure cannot be shown.") == 3


async def test_another_step_of_a_card(server: Installation, run_name: str) -> None:
    file = {"path": "0/image.png", "kind": media_pb2.MEDIA_KIND_IMAGE, "caption": "", "rank": 0}
    gone = {"path": "0/gone.csv", "kind": media_pb2.MEDIA_KIND_TABLE, "caption": "", "rank": 0}
    async with AsyncClient(server.connection) as client:
        step = {"step": 0, "files": [gone, *[file] * media.FILES_PER_STEP_MAX]}
        text = text_of(await media.shown_at(client, run_name, step))
    assert text.count("preview-image") == media.FILES_PER_STEP_MAX - 1
    for said in ("step 0", "and 1 more files", "gone.csv"):
        assert said in text, said


async def test_keys_and_files_have_limits(server: Installation, run_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "KEYS_MAX", 2)
    async with AsyncClient(server.connection) as client:
        text = text_of(await media.media_of(client, run_name))
    assert f"The first 2 of {len({Path(path).stem for path in FILES})} keys." in text


async def test_a_run_without_media_and_alerts(server: Installation) -> None:
    with Client(server.connection) as client:
        name = _run(client)
    async with AsyncClient(server.connection) as client:
        assert "No media were logged" in text_of(await media.media_of(client, name))
    _, text = await drawn(server, run.draw, run_id=name.rpartition("/")[2])
    assert "alert-line" not in text


async def test_alerts_are_on_the_page_of_the_run(
    server: Installation, run_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = run_name.rpartition("/")[2]
    _, text = await drawn(server, run.draw, run_id=run_id)
    for said in ("alert 0", "alert 1", "alert 2", "Warning", "at step 1,234, ", "why"):
        assert said in text, said
    monkeypatch.setattr(run, "ALERTS_MAX", 2)
    _, text = await drawn(server, run.draw, run_id=run_id)
    assert "alert 0" not in text
    assert '"2+"' in text
