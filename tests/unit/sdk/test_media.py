"""Media as files: what each type takes, and that what comes out is what went in, read by somebody else's code."""

import csv
import io
import json
import struct
import wave
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

import penstock
from penstock.errors import InvalidInput, InvalidType
from penstock.media import Media
from penstock.media import table as tables
from penstock.run import media as run_media
from penstock.spool.orders import OrderBook


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))


OFFLINE: dict[str, Any] = {"mode": "offline", "system_metrics": False, "capture": False}


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG, each with its checksum looked at."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    found, place = [], 8
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        kind, data = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", png, place + 8 + length) == (zlib.crc32(kind + data),)
        found.append((kind, data))
        place += 12 + length
    return found


def pixels(header: bytes, data: bytes) -> np.ndarray[Any, Any]:
    """The pixels of a PNG of 8 bits, (H, W, C), by the rules of the format."""
    width, height, depth, colour = struct.unpack_from(">IIBB", header)
    channels = {0: 1, 4: 2, 2: 3, 6: 4}[colour]
    assert depth == 8
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + width * channels)
    assert set(rows[:, 0]) == {1}
    filtered = rows[:, 1:].reshape(height, width, channels)
    return np.cumsum(filtered, axis=1, dtype=np.uint8)


def decoded(image: Any) -> np.ndarray[Any, Any]:
    data = penstock.Image(image).encoded().data
    assert isinstance(data, bytes)
    found = dict(chunks(data))
    return pixels(found[b"IHDR"], found[b"IDAT"])


RNG = np.random.default_rng(7)
RGB = RNG.integers(0, 256, (5, 7, 3), np.uint8)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_an_image_of_bytes_comes_back_as_it_was(channels: int) -> None:
    array = RNG.integers(0, 256, (6, 9, channels), np.uint8)
    assert (decoded(array) == array).all()
    assert (decoded(np.moveaxis(array, 2, 0)) == array).all()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0, 7.0, -1.0, np.nan]]), [0, 128, 255, 255, 0, 0]),
        (np.array([[0.25]], np.float16), [64]),
        (np.array([[True, False]]), [255, 0]),
        (np.array([[-1, 0, 255, 256]]), [0, 0, 255, 255]),
        ([[0.0, 1.0]], [0, 255]),
    ],
)
def test_other_values_are_scaled_and_clipped(given: Any, expected: list[int]) -> None:
    assert decoded(given).reshape(-1).tolist() == expected


class _Tensor:
    """As torch has them: no array before it is detached and on the CPU."""

    def __init__(self, ready: int = 0) -> None:
        self._ready = ready

    def detach(self) -> "_Tensor":
        return _Tensor(self._ready + 1)

    def cpu(self) -> "_Tensor":
        return _Tensor(self._ready + 1)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if self._ready < 2:
            raise TypeError("Can't call numpy() on Tensor that requires grad.")
        return RGB


def test_a_tensor_is_detached_and_fetched() -> None:
    assert (decoded(_Tensor()) == RGB).all()


@pytest.mark.parametrize("shape", [(3,), (5, 5, 5), (0, 3), (1, 2, 3, 4)])
def test_other_shapes_are_no_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="must have the shape"):
        penstock.Image(np.zeros(shape)).encoded()


@pytest.mark.parametrize("value", [np.array(["a"]), object(), [[1, 2], [3]], None])
def test_what_is_no_array_is_no_image(value: Any) -> None:
    with pytest.raises(InvalidType, match="An image must be an array of numbers"):
        penstock.Image(value).encoded()


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "x.JPG"
    file.write_bytes(b"jpeg")
    encoded = penstock.Image(file).encoded()
    assert (encoded.data, encoded.extension, encoded.media_type) == (file, ".jpg", "image/jpeg")
    for wrong in (tmp_path / "nothing.png", tmp_path / "x.exe", tmp_path):
        with pytest.raises(InvalidInput):
            penstock.Image(str(wrong)).encoded()


def test_a_film_is_an_animated_png() -> None:
    frames = RNG.integers(0, 256, (3, 4, 5, 3), np.uint8)
    data = penstock.Video(frames, fps=4).encoded().data
    assert isinstance(data, bytes)
    found = chunks(data)
    assert [kind for kind, _ in found] == [
        b"IHDR",
        b"acTL",
        b"fcTL",
        b"IDAT",
        b"fcTL",
        b"fdAT",
        b"fcTL",
        b"fdAT",
        b"IEND",
    ]
    header = found[0][1]
    assert struct.unpack(">II", found[1][1]) == (3, 0)
    numbers = [struct.unpack_from(">I", data)[0] for kind, data in found if kind in {b"fcTL", b"fdAT"}]
    assert numbers == list(range(5))
    assert struct.unpack_from(">IIIIIHH", found[2][1]) == (0, 5, 4, 0, 0, 250, 1000)
    bodies = [found[3][1], found[5][1][4:], found[7][1][4:]]
    assert all((pixels(header, body) == frame).all() for body, frame in zip(bodies, frames, strict=True))
    grey = penstock.Video(np.zeros((2, 4, 5)), fps=1_000).encoded()
    assert (grey.extension, grey.media_type) == (".png", "image/png")
    for wrong in (np.zeros((4, 5)), np.zeros((0, 4, 5))):
        with pytest.raises(InvalidInput):
            penstock.Video(wrong).encoded()
    penstock.Video(frames, fps=0.02).encoded()
    for fps in (0, 0.019, 1_001, float("nan")):
        with pytest.raises(InvalidInput, match="fps"):
            penstock.Video(frames, fps=fps)


def test_a_sound_is_a_wav() -> None:
    data = penstock.Audio(np.array([[0.0, 1.0], [-1.0, 2.0], [np.nan, 0.5]]), 8_000).encoded().data
    assert isinstance(data, bytes)
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8_000, 2, 2)
        samples = np.frombuffer(file.readframes(3), "<i2").tolist()
    assert samples == [0, 32_767, -32_767, 32_767, 0, 16_384]
    exact = penstock.Audio(np.array([-32_768, 5], np.int16), 1).encoded().data
    assert isinstance(exact, bytes)
    assert exact.endswith(struct.pack("<hh", -32_768, 5))
    for wrong in (
        lambda: penstock.Audio(np.zeros(3)).encoded(),
        lambda: penstock.Audio(np.zeros((3, 9)), 8_000).encoded(),
        lambda: penstock.Audio(np.zeros(3, np.int64), 8_000).encoded(),
        lambda: penstock.Audio(np.zeros(3), 0),
        lambda: penstock.Audio(np.zeros(3), 768_001),
    ):
        with pytest.raises(InvalidInput):
            wrong()


def rows(table: penstock.Table) -> list[list[str]]:
    data = table.encoded().data
    assert isinstance(data, bytes)
    return list(csv.reader(io.StringIO(data.decode())))


def test_a_table_is_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    table = penstock.Table(["name", "p"], [['a,\n"b"', 0.1], [None, float("nan")]])
    table.add_row(True, 3)
    assert rows(table) == [["name", "p"], ['a,\n"b"', "0.1"], ["", ""], ["True", "3"]]
    with pytest.raises(InvalidInput, match="1 cells"):
        table.add_row(1)
    for columns in ([], ["c"] * 1_001):
        with pytest.raises(InvalidInput):
            penstock.Table(columns)
    penstock.Table(["c"] * 1_000)
    monkeypatch.setattr(tables, "TABLE_ROWS_MAX", 3)
    with pytest.raises(InvalidInput, match="at most 3 rows"):
        table.add_row(1, 2)


def test_a_table_of_data_frames() -> None:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    content = {"a": [1, 2], "b": ["x", None]}
    for frame in (pd.DataFrame(content), pl.DataFrame(content), pa.table(content)):
        assert rows(penstock.Table(dataframe=frame)) == [["a", "b"], ["1", "x"], ["2", ""]]
    with pytest.raises(InvalidType):
        penstock.Table(dataframe=[1])
    with pytest.raises(InvalidInput):
        penstock.Table(["a"], dataframe=content)


def histogram(*args: Any, **kwargs: Any) -> dict[str, Any]:
    data = penstock.Histogram(*args, **kwargs).encoded().data
    assert isinstance(data, bytes)
    return json.loads(data)


def test_a_histogram_counts() -> None:
    made = histogram([0.0, 1.0, 1.0, 4.0, float("nan"), float("inf"), float("-inf")], bins=4)
    assert made == {"edges": [0, 1, 2, 3, 4], "counts": [1, 2, 0, 1], "nan_count": 1, "infinity_count": 2}
    assert histogram(counts=[1, 2], edges=[0, 1, 5])["counts"] == [1, 2]
    assert histogram([float("nan")])["nan_count"] == 1
    assert sum(histogram(RGB)["counts"]) == RGB.size
    for wrong in (
        {},
        {"values": [1], "counts": [1]},
        {"counts": [1]},
        {"counts": [1], "edges": [1]},
        {"counts": [1], "edges": [1, 1]},
        {"counts": [-1], "edges": [0, 1]},
        {"counts": [float("nan")], "edges": [0, 1]},
        {"values": [1], "bins": 0},
        {"values": [1], "bins": 10_001},
        {"values": [-1.7e308, 1.7e308]},
    ):
        with pytest.raises(InvalidInput):
            penstock.Histogram(**wrong)


def test_a_figure_of_plotly_stays_what_it_is() -> None:
    figure = penstock.Figure(go.Figure(data=[go.Scatter(x=[1, 2], y=[3, 4])]))
    data = figure.encoded().data
    assert isinstance(data, bytes)
    assert (figure.kind, json.loads(data)["data"][0]["type"]) == ("plot", "scatter")
    with pytest.raises(InvalidType):
        penstock.Figure(3)


def test_a_caption_has_a_limit() -> None:
    assert penstock.Image(RGB, "x" * 2_000).caption == "x" * 2_000
    with pytest.raises(InvalidInput, match="A caption"):
        penstock.Image(RGB, "x" * 2_001)


# In a run


def orders(run: penstock.Run) -> list[dict[str, Any]]:
    assert run.spool_folder is not None
    return [{**order.content, "data": order.data.read_bytes()} for order in OrderBook(run.spool_folder).pending()]


def points(run: penstock.Run) -> int:
    assert run._writer is not None
    return run._writer.points


def test_media_are_logged_beside_numbers_at_the_same_step() -> None:
    with penstock.init(**OFFLINE) as run:
        run.log({"loss": 1.0})
        run.log({"loss": 0.5, "val": {"samples": [penstock.Image(RGB, "one"), penstock.Image(RGB)]}})
        run.log({"figure": go.Figure()}, step=7)
        run.log({"loss": 0.25})
        found = orders(run)
    assert points(run) == 3
    assert [(order["media"]["key"], order["media"]["step"], order["media"]["kind"]) for order in found] == [
        ("val/samples", 1, "image"),
        ("val/samples", 1, "image"),
        ("figure", 7, "plot"),
    ]
    assert [order["media"]["caption"] for order in found] == ["one", "", ""]
    assert found[0]["path"].startswith("media/val/samples/1-")
    assert len({order["path"] for order in found}) == 3
    assert found[0]["data"][:8] == b"\x89PNG\r\n\x1a\n"
    assert (found[0]["media_type"], found[2]["media_type"]) == ("image/png", "application/json")
    assert run._writer is not None
    assert run._writer.next_step == 9


@pytest.mark.parametrize(
    "row",
    [
        {"loss": 1.0, "bad": "text", "image": penstock.Image(RGB)},
        {"loss": 1.0, "image": penstock.Image(np.zeros(3))},
        {"loss": 1.0, "images": [penstock.Image(RGB), 3]},
        {"loss": 1.0, "images": []},
        {"loss": 1.0, "k" * 251: penstock.Image(RGB)},
        {"loss": 1.0, "images": [penstock.Image(RGB)] * (run_media.MEDIA_PER_KEY_MAX + 1)},
        {"k" * 251: 1.0, "image": penstock.Image(RGB)},
    ],
)
def test_what_is_wrong_with_one_value_leaves_nothing_of_the_row(row: dict[str, Any]) -> None:
    with penstock.init(**OFFLINE) as run:
        with pytest.raises((InvalidInput, InvalidType)):
            run.log(row)
        assert (points(run), orders(run)) == (0, [])
        run.log({"loss": 1.0})
        assert run._writer is not None
        assert run._writer.next_step == 1


@pytest.mark.parametrize("key", ["a/b c/ü", "../../x", "con", "x" * 250, "/", "a.", "CON/nul.txt"])
def test_any_key_has_a_path(key: str) -> None:
    from penstock.artifact_paths import path_problem

    with penstock.init(**OFFLINE) as run:
        run.log({key: penstock.Histogram([1.0])})
        (order,) = orders(run)
    assert order["media"]["key"] == key
    assert path_problem(order["path"]) is None
    assert order["path"].startswith("media/")


def test_media_of_a_full_disk_are_said_and_training_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with penstock.init(**OFFLINE) as run:
        assert run.spool_folder is not None
        (run.spool_folder / "orders").write_bytes(b"in the way")
        for _ in range(2):
            run.log({"loss": 1.0, "image": penstock.Image(RGB)})
    assert points(run) == 2
    assert capsys.readouterr().err.count("'image' and what follows may be missing") == 1


def test_every_type_says_what_it_is() -> None:
    made: list[Callable[[], Media]] = [
        lambda: penstock.Image(RGB),
        lambda: penstock.Audio(np.zeros(3), 8_000),
        lambda: penstock.Video(np.zeros((1, 2, 2))),
        lambda: penstock.Table(["a"]),
        lambda: penstock.Histogram([1.0]),
        lambda: penstock.Figure(go.Figure()),
    ]
    assert [make().kind for make in made] == ["image", "audio", "video", "table", "histogram", "plot"]
