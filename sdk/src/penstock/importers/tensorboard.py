"""Runs of TensorBoard: a folder with event files is a run, named by its path below the log folder, as TensorBoard names it.

The files are read here and not with the package `tensorboard`: that keeps a sample of each series, and brings a web server.
Both have been read and written in the same way since 2015.

TensorBoard knows no ids. A run is recognised by the name of its first event file and the time of the first event in it, so it
may be moved and renamed between two imports. It knows no end either: a run counts as finished at its last event, unless the
hparams plugin says how it ended. An event file is a part: another process may write another one into the same folder.

Images, sounds and texts become files of the run: `images/<tag>/<step>.png`, `audio/...`, `text/...`. Images and sounds are
its media, too, under their tag and at their step.
"""

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError

from penstock.errors import InvalidInput, NotFound
from penstock.importers.messages import message_classes
from penstock.importers.model import (
    Part,
    Row,
    RunDraft,
    SourceDamaged,
    SourceEntry,
    SourceFile,
    SourceMedia,
    SourceRun,
    derived_id,
    time_us,
)
from penstock.importers.tfrecord import records
from penstock.spool.values import check_key

__all__ = ["TensorBoardSource"]

_MESSAGES: Final = message_classes(
    "tensorboard",
    {
        "Event": ("optional double wall_time = 1", "optional int64 step = 2", "optional Summary summary = 5"),
        "Summary": ("repeated SummaryValue value = 1",),
        "SummaryValue": (
            "optional string tag = 1",
            "optional float simple_value = 2",
            "optional Media image = 4",
            "optional bytes histo = 5",
            "optional Sound audio = 6",
            "optional Tensor tensor = 8",
            "optional Metadata metadata = 9",
        ),
        "Media": ("optional bytes encoded = 4",),
        "Sound": ("optional bytes encoded = 4",),
        "Metadata": ("optional PluginData plugin_data = 1",),
        "PluginData": ("optional string plugin_name = 1", "optional bytes content = 2"),
        "Tensor": (
            "optional int32 dtype = 1",
            "optional bytes tensor_content = 4",
            "repeated float float_val = 5",
            "repeated double double_val = 6",
            "repeated int32 int_val = 7",
            "repeated bytes string_val = 8",
            "repeated int64 int64_val = 10",
            "repeated bool bool_val = 11",
            "repeated int32 half_val = 13",
            "repeated uint32 uint32_val = 16",
            "repeated uint64 uint64_val = 17",
        ),
        "HParams": ("optional SessionStart session_start_info = 3", "optional SessionEnd session_end_info = 4"),
        "SessionStart": (
            "repeated HParam hparams = 1",
            "optional string group_name = 4",
        ),
        "HParam": ("optional string key = 1", "optional Value value = 2"),
        "SessionEnd": ("optional int32 status = 1", "optional double end_time_secs = 2"),
    },
)
_Event: Final = _MESSAGES["Event"]
_HParams: Final = _MESSAGES["HParams"]
_SCALARS: Final = "scalars"
_HPARAMS: Final = "hparams"
_FIELDS_OF_DTYPE: Final = {
    # tensorflow/core/framework/types.proto: where values lie apart, and how they lie in `tensor_content`.
    1: ("float_val", "<f"),
    2: ("double_val", "<d"),
    3: ("int_val", "<i"),
    4: ("int_val", "<B"),
    5: ("int_val", "<h"),
    6: ("int_val", "<b"),
    9: ("int64_val", "<q"),
    10: ("bool_val", "<?"),
    17: ("int_val", "<H"),
    19: ("half_val", "<e"),
    22: ("uint32_val", "<I"),
    23: ("uint64_val", "<Q"),
}
_HALF: Final = 19
_STATES: Final = {1: "FINISHED", 2: "FAILED", 3: "RUNNING"}
_HISTOGRAMS: Final = "histograms"
_IMAGES: Final = "images"
_AUDIO: Final = "audio"
_TEXT: Final = "text"
_MEDIA_KINDS: Final = {_IMAGES: "IMAGE", _AUDIO: "AUDIO"}
_BYTES_DTYPE: Final = 7
_ENDINGS: Final = ((b"\x89PNG", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"GIF8", ".gif"), (b"RIFF", ".wav"))
"""What files begin with, and how their names end then."""
_EXACT_MAX: Final = 2**53


class TensorBoardSource:
    """A log folder.

    Args:
        folder: The folder, at any level: every folder in it with event files is a run.
    """

    tool = "tensorboard"

    def __init__(self, folder: Path) -> None:
        self.location = str(folder.absolute())
        self._folder = folder.absolute()

    def entries(self) -> Sequence[SourceEntry]:
        """See `Source`."""
        if not self._folder.is_dir():
            raise NotFound(f"There is no folder {self._folder}.", reason="SOURCE_NOT_FOUND")
        files: dict[Path, list[Path]] = {}
        for path in sorted(self._folder.rglob("*tfevents*")):
            if path.is_file() and path.stat().st_size:
                files.setdefault(path.parent, []).append(path)
        if not files:
            raise NotFound(f"{self._folder} holds no event files of TensorBoard.", reason="SOURCE_EMPTY")
        return [self._entry(folder, found) for folder, found in sorted(files.items())]

    def _entry(self, folder: Path, files: list[Path]) -> SourceEntry:
        name = "." if folder == self._folder else folder.relative_to(self._folder).as_posix()
        display_name = folder.name if name == "." else name
        return SourceEntry(name, partial(self._read, files, display_name))

    def _read(self, files: list[Path], display_name: str) -> SourceRun:
        draft = RunDraft(experiment=self._folder.name, start_time_us=0, display_name=display_name)
        run_id = ""
        last_s = 0.0
        for path in files:
            try:
                for event in _events(path, check=False):
                    if not run_id:
                        run_id = derived_id("tensorboard", path.name, struct.pack("<d", event.wall_time).hex())
                        draft.start_time_us = time_us(event.wall_time)
                    last_s = max(last_s, event.wall_time)
                    for value in event.summary.value if event.HasField("summary") else ():
                        _note(draft, value)
            except SourceDamaged as damage:
                # Found again, and told, when the points are read.
                if not run_id and path == files[-1]:
                    raise damage
        if not run_id:
            raise SourceDamaged(
                f"{files[0].parent} holds no whole event: nothing was logged, or it is still to be written."
            )
        if draft.state != "RUNNING":
            draft.end_time_us = draft.end_time_us or time_us(last_s)
        return draft.finished(run_id, [Part(path.name, partial(_rows, path)) for path in files], partial(_files, files))


def _events(path: Path, *, check: bool) -> Iterator[Any]:
    for data in records(path, check=check):
        try:
            yield _Event.FromString(data)
        except DecodeError:
            raise SourceDamaged(f"{path} holds something that is no event of TensorBoard.") from None


def _rows(path: Path) -> Iterator[Row]:
    plugins: dict[str, str] = {}
    for event in _events(path, check=True):
        if not event.HasField("summary"):
            continue
        values: dict[str, float] = {}
        for value in event.summary.value:
            number = _scalar(value, plugins)
            if number is None:
                continue
            if value.tag in values:
                # The same metric twice in one event: both are points.
                yield Row(event.step, time_us(event.wall_time), values)
                values = {}
            values[value.tag] = number
        if values:
            yield Row(event.step, time_us(event.wall_time), values)


def _scalar(value: Any, plugins: dict[str, str]) -> float | None:
    """The number in a summary value; None if it is something else.

    Args:
        value: The summary value.
        plugins: The plugin of each tag: only the first value of a tag need name it.
    """
    if value.HasField("metadata"):
        plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
    if value.HasField("simple_value"):
        return value.simple_value
    if not value.HasField("tensor") or plugins.get(value.tag, _SCALARS) != _SCALARS:
        return None
    tensor = value.tensor
    name, layout = _FIELDS_OF_DTYPE.get(tensor.dtype, ("", ""))
    if not name:
        return None
    if len(tensor.tensor_content) == struct.calcsize(layout):
        return float(struct.unpack(layout, tensor.tensor_content)[0])
    apart = getattr(tensor, name)
    if len(apart) != 1:
        return None
    if tensor.dtype == _HALF:
        return struct.unpack("<e", struct.pack("<H", apart[0] & 0xFFFF))[0]
    return float(apart[0])


def _files(paths: list[Path]) -> Iterator[SourceFile]:
    """The images, sounds and texts in event files. Damage in one is told after the others were read."""
    names: Counter[str] = Counter()
    damage: SourceDamaged | None = None
    for path in paths:
        plugins: dict[str, str] = {}
        try:
            for event in _events(path, check=True):
                for value in event.summary.value if event.HasField("summary") else ():
                    kind, contents = _media(value, plugins)
                    for content in contents:
                        name = f"{kind}/{value.tag}/{event.step}"
                        names[name] += 1
                        # Several at one step are told apart by their number.
                        number = "" if names[name] == 1 else f"-{names[name]}"
                        yield SourceFile(
                            f"{name}{number}{_ending(kind, content)}",
                            partial(BytesIO, content),
                            len(content),
                            media=_shown(kind, value.tag, event),
                        )
        except SourceDamaged as error:
            damage = damage or error
    if damage is not None:
        raise damage


def _media(value: Any, plugins: dict[str, str]) -> tuple[str, Sequence[bytes]]:
    """The kind of files in a summary value, and their contents; none if there are none. `plugins` is as of `_scalar`."""
    if value.HasField("metadata"):
        plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
    if value.HasField("image"):
        return _IMAGES, [value.image.encoded]
    if value.HasField("audio"):
        return _AUDIO, [value.audio.encoded]
    kind = plugins.get(value.tag, "")
    if kind not in (_IMAGES, _AUDIO, _TEXT) or value.tensor.dtype != _BYTES_DTYPE:
        return kind, ()
    strings = value.tensor.string_val
    if kind == _IMAGES:
        return kind, strings[2:]  # before them, width and height
    # Every sound is followed by its label, in Markdown.
    return kind, strings[::2] if kind == _AUDIO else strings


def _shown(kind: str, tag: str, event: Any) -> SourceMedia | None:
    """What a file is shown as, with the curves of the run. Texts, and what has a name that no metric may have, are files."""
    try:
        key = check_key(tag, "The tag")
    except InvalidInput:
        return None
    return SourceMedia(key, _MEDIA_KINDS[kind], event.step, time_us(event.wall_time)) if kind in _MEDIA_KINDS else None


def _ending(kind: str, content: bytes) -> str:
    if kind == _TEXT:
        return ".md"
    return next((ending for magic, ending in _ENDINGS if content.startswith(magic)), "")


def _note(draft: RunDraft, value: Any) -> None:
    """Takes from a summary value what is said of the run as a whole."""
    if value.HasField("histo"):
        draft.leave_out(_not_imported(_HISTOGRAMS))
        return
    plugin = value.metadata.plugin_data if value.HasField("metadata") else None
    if plugin is None or plugin.plugin_name in (_SCALARS, _IMAGES, _AUDIO, _TEXT, ""):
        return
    if plugin.plugin_name != _HPARAMS:
        draft.leave_out(_not_imported(plugin.plugin_name[:60]))
        return
    try:
        content = _HParams.FromString(plugin.content)
    except DecodeError:
        draft.leave_out("Params that cannot be read.")
        return
    if content.HasField("session_start_info"):
        start = content.session_start_info
        draft.group = start.group_name
        for hparam in sorted(start.hparams, key=lambda hparam: hparam.key):
            draft.add_param(hparam.key, _hparam(hparam.value))
    if content.HasField("session_end_info"):
        end = content.session_end_info
        draft.state = _STATES.get(end.status, draft.state)
        if end.end_time_secs:
            draft.end_time_us = time_us(end.end_time_secs)


def _not_imported(plugin: str) -> str:
    return f"Data of the plugin {plugin!r} was left out."


def _hparam(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        # The plugin keeps every number as a double, and people mean 32 by 32.0.
        return int(number) if number.is_integer() and abs(number) < _EXACT_MAX else number
    return getattr(value, kind) if kind in ("string_value", "bool_value") else None
