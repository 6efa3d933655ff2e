"""Writes event files with tensorboardX and with TensorBoard's own writer: scalars as `simple_value` and as tensors."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import tensorboardX
from serving import bits, serve
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
from tensorboard.plugins.hparams import metadata, plugin_data_pb2
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.summary.writer.record_writer import RecordWriter

BEGAN_S = 1_700_000_000.25
Points = dict[str, list[tuple[int, int, str]]]
open_writers: dict[str, Any] = {}


def logged(points: Points, key: str, step: int, time_s: float, value: float) -> None:
    # TensorBoard keeps 32 bits of a value.
    points.setdefault(key, []).append((step, round(time_s * 1e6), bits(float(np.float32(value)))))


def old(folder: str, first: int, last: int) -> Points:
    """A training that goes on: more points with each call, through the same writer, into the same file."""
    if folder not in open_writers:
        open_writers[folder] = EventFileWriter(folder)
    writer = open_writers[folder]
    points: Points = {}
    for step in range(first, last):
        for key, value in (("train/loss", 1 / (step + 1)), ("lr", 1e-3 * step)):
            time_s = BEGAN_S + step / 8
            summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=key, simple_value=value)])
            writer.add_event(event_pb2.Event(wall_time=time_s, step=step, summary=summary))
            logged(points, key, step, time_s, value)
    writer.flush()
    return points


def odd(folder: str) -> Points:
    """What is not a plain curve: NaN and infinities, steps out of order, histograms, images, texts."""
    points: Points = {}
    with tensorboardX.SummaryWriter(folder) as writer:
        for step, value in ((3, float("nan")), (-5, float("inf")), (2**40, -float("inf")), (3, 0.5)):
            writer.add_scalar("odd", value, step, walltime=BEGAN_S)
            logged(points, "odd", step, BEGAN_S, value)
        writer.add_histogram("weights", np.arange(10.0), 1)
        writer.add_text("note", "hello", 1)
        writer.add_text("note", "again", 1)
        writer.add_image("group/image", np.zeros((3, 4, 4), np.uint8), 1)
    return points


def media(folder: str) -> dict[str, str]:
    """Images and sounds as TensorFlow 2 writes them. Returns the digests of what is in them, by path."""
    png, other, wav = b"\x89PNG one", b"\x89PNG two", b"RIFF sound"

    def value(tag: str, plugin: str, strings: list[bytes]) -> summary_pb2.Summary.Value:
        made = summary_pb2.SummaryMetadata(plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=plugin))
        tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=strings)
        return summary_pb2.Summary.Value(tag=tag, metadata=made, tensor=tensor)

    writer = EventFileWriter(folder)
    values = [
        value("batch", "images", [b"4", b"4", png, other]),
        value("voice", "audio", [wav, b"a *label*"]),
        value("words", "text", [b"hello"]),
    ]
    writer.add_event(event_pb2.Event(wall_time=BEGAN_S, step=7, summary=summary_pb2.Summary(value=values)))
    writer.close()
    files = {
        "images/batch/7.png": png,
        "images/batch/7-2.png": other,
        "audio/voice/7.wav": wav,
        "text/words/7.md": b"hello",
    }
    return {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}


def new(folder: str) -> Points:
    """Tensors, as TensorFlow 2 writes scalars, and a session of the hparams plugin."""
    points: Points = {}
    writer = EventFileWriter(folder)

    def add(summary: Any, step: int, time_s: float) -> None:
        writer.add_event(event_pb2.Event(wall_time=time_s, step=step, summary=summary))

    params = {"lr": 0.1, "units": 32, "optimizer": "adam", "augment": True}
    add(hparams_pb(params, trial_id="sweep-7", start_time_secs=BEGAN_S), 0, BEGAN_S)
    for step in range(20):
        add(scalar_pb("val/accuracy", step / 3), step, BEGAN_S + step)
        logged(points, "val/accuracy", step, BEGAN_S + step, step / 3)
    # The function for this needs TensorFlow: it does what these lines do.
    end = plugin_data_pb2.SessionEndInfo(status=Status.STATUS_FAILURE, end_time_secs=BEGAN_S + 30.5)
    content = plugin_data_pb2.HParamsPluginData(session_end_info=end)
    value = summary_pb2.Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG, metadata=metadata.create_summary_metadata(content)
    )
    add(summary_pb2.Summary(value=[value]), 0, BEGAN_S + 30.5)
    writer.close()
    return points


def large(folder: str, events: int, keys: int) -> int:
    """Many points, quickly. Returns how many."""
    Path(folder).mkdir(parents=True)
    with (Path(folder) / "events.out.tfevents.1700000000.host").open("wb") as file:
        writer = RecordWriter(file)
        writer.write(event_pb2.Event(wall_time=BEGAN_S, file_version="brain.Event:2").SerializeToString())
        for step in range(events):
            values = [summary_pb2.Summary.Value(tag=f"m/{key}", simple_value=step * key / 7) for key in range(keys)]
            event = event_pb2.Event(wall_time=BEGAN_S + step, step=step, summary=summary_pb2.Summary(value=values))
            writer.write(event.SerializeToString())
    return events * keys


serve({"media": media, "old": old, "odd": odd, "new": new, "large": large})
