# Generated from _async/transfers.py by deploy/tools/unasync.py. Change that one.
"""Moves files between this machine and a project: large ones in parts, straight to and from the object store where possible.

Everything goes on where it was: after a connection broke, and when the same call is made again by another process.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.api.artifact.v1 import artifact_pb2, artifact_service_pb2, transfer_pb2
from penstock.client.artifact_files import Incoming, SmallFiles, Transfer, Wanted, read_piece
from penstock.client.digests import Digesting
from penstock.client.direct import AT_ONCE_MAX, Receiving, Sending, StoreFailed
from penstock.client.runtime_sync import Stream, in_thread, sleep
from penstock.errors import Conflict, InvalidInput, NotFound, PenstockError, ServerUnavailable

__all__ = ["Transfers", "Tell"]

BLOBS_PER_QUESTION = 1_000
IN_PARTS_FROM_BYTES = 16 * 1024 * 1024
"""From so many bytes on a file is sent in parts, and received by ranges."""
SMALL_BYTES_MAX = 1024 * 1024
"""Up to so many bytes files are received in groups."""
FILES_PER_GROUP = 1_000
SIGNED_AT_ONCE = 16
"""URLs for so many parts are asked for at once: they shall not expire before they are used."""
SILENCE_S = 60.0
"""How long a server may say nothing in the middle of a transfer."""
RETRY_S = 60.0
"""How long a transfer is tried again without any progress."""
RETRY_PAUSE_S = 0.5
FUTILE_ATTEMPTS_MAX = 5
"""So many attempts in a row may break off before anything is durable: what cannot be sent at a time is not sent for ever."""
STREAM_S_MAX = 3_600.0
"""As long as a server lets a stream last."""
GO_ON_REASONS = frozenset({"BLOBS_MISSING", "PARTS_MISSING", "TOO_MANY_WRITERS", "UPLOAD_NOT_FOUND", "UPLOAD_SILENT"})
"""Errors after which it is asked anew what is missing."""

Tell = Callable[[Transfer], object]


class Transfers:
    """Transfers of one call of a client.

    Args:
        service: The generated stub of the artifact service.
        on_progress: Called while files are read and moved; None for nobody.
    """

    def __init__(self, service: Any, on_progress: Tell | None) -> None:
        self._service = service
        self._tell = on_progress
        # Whether bytes may go straight to the object store: until it is found that they cannot.
        self._direct = True

    def digests(self, files: Sequence[Path]) -> list[artifact_pb2.BlobId]:
        """The ids of files as they are now. Raises `InvalidInput` if one cannot be read."""
        digesting = Digesting(files)
        try:
            in_thread(digesting.start)
            more = True
            while more:
                more = in_thread(digesting.step)
                if self._tell is not None:
                    done = digesting.bytes_done, digesting.bytes_total, digesting.files_done, len(files)
                    self._tell(Transfer("reading", *done))
            return [artifact_pb2.BlobId(sha256=one.sha256, size_bytes=one.size) for one in digesting.digests()]
        finally:
            in_thread(digesting.close)

    def upload(
        self,
        project: str,
        blobs: Sequence[artifact_pb2.BlobId],
        files: Mapping[str, Path],
        then: Callable[[], Any],
    ) -> Any:
        """Sends the blobs that a project does not have, and makes a call that needs them. Returns what that returns.

        Args:
            project: `projects/{project}`.
            blobs: What the call needs.
            files: Where each is, by its digest.
            then: Makes the call. Made again if it fails because blobs are missing, or the server was away.

        Raises what the call raises, and:
            InvalidInput: A file cannot be read, or has changed.
            LimitExceeded: The project's quota is too small.
            ServerUnavailable: The server was away for a minute.
        """
        progress = _Progress("uploading", blobs, self._tell)
        futile = 0
        while True:
            try:
                self._send(project, blobs, files, progress)
                return then()
            except (ServerUnavailable, Conflict, NotFound) as error:
                if not isinstance(error, ServerUnavailable) and error.reason not in GO_ON_REASONS:
                    raise
                self._reconsider(error, progress)
                futile = futile + 1 if progress.futile else 0
                if progress.stalled_s > RETRY_S or futile == FUTILE_ATTEMPTS_MAX:
                    raise
                sleep(RETRY_PAUSE_S)

    def download(self, version: str, wanted: Sequence[Wanted]) -> None:
        """Receives files of a version. Each is put in its place whole, once its digest was verified.

        Files that are there already are not loaded again; a download that was cut off is gone on with.

        Args:
            version: `projects/{project}/artifacts/{artifact}/versions/{version}`, by its number.
            wanted: The files.

        Raises:
            NotFound: There is no such version any more.
            ServerUnavailable: The server was away for a minute.
        """
        progress = _Progress("downloading", [one.blob for one in wanted], self._tell)
        missing = self._missing(wanted, progress)
        small = [one for one in missing if one.blob.size_bytes <= SMALL_BYTES_MAX]
        for start in range(0, len(small), FILES_PER_GROUP):
            self._receive_group(version, small[start : start + FILES_PER_GROUP], progress)
        for one in missing:
            if one.blob.size_bytes > SMALL_BYTES_MAX:
                self._receive_file(version, one, progress)

    def _reconsider(self, error: PenstockError, progress: "_Progress") -> None:
        # It may be that the store cannot be reached from here, or that clocks differ: then bytes pass through the server.
        if isinstance(error, StoreFailed) and not progress.advanced:
            self._direct = False
        progress.advanced = False

    # Sending

    def _send(
        self, project: str, blobs: Sequence[artifact_pb2.BlobId], files: Mapping[str, Path], progress: "_Progress"
    ) -> None:
        unique = list({blob.sha256: blob for blob in blobs}.values())
        missing: list[artifact_pb2.BlobId] = []
        for start in range(0, len(unique), BLOBS_PER_QUESTION):
            response = self._service.FindMissingBlobs(
                artifact_service_pb2.FindMissingBlobsRequest(
                    parent=project, blobs=unique[start : start + BLOBS_PER_QUESTION]
                )
            )
            missing += response.missing
        progress.restart(missing)
        small = [blob for blob in missing if blob.size_bytes < IN_PARTS_FROM_BYTES]
        if small:
            self._send_whole(project, small, files, progress)
        for blob in missing:
            if blob.size_bytes >= IN_PARTS_FROM_BYTES:
                self._send_in_parts(project, blob, files[blob.sha256], progress)

    def _send_whole(
        self, project: str, blobs: Sequence[artifact_pb2.BlobId], files: Mapping[str, Path], progress: "_Progress"
    ) -> None:
        requests = _blob_requests(project, blobs, files, progress)
        acknowledged = 0
        try:
            for response in self._service.UploadBlobs(requests, timeout=STREAM_S_MAX):
                progress.done(response.blob_count - acknowledged)
                acknowledged = response.blob_count
        except PenstockError:
            progress.raise_trouble()
            raise

    def _send_in_parts(self, project: str, blob: artifact_pb2.BlobId, file: Path, progress: "_Progress") -> None:
        begun = self._service.BeginBlobUpload(transfer_pb2.BeginBlobUploadRequest(parent=project, blob=blob))
        if begun.HasField("upload"):
            upload = begun.upload
            missing = sum(_part_size(upload, number) for number in upload.missing_parts)
            progress.found(blob.size_bytes - missing)
            if upload.direct and self._direct:
                self._send_parts_direct(upload, file, progress)
            else:
                self._send_parts(upload, file, progress)
            request = transfer_pb2.FinishBlobUploadRequest(name=upload.name)
            for _ in self._service.FinishBlobUpload(request, silence_s=SILENCE_S):
                progress.moved()
        else:
            progress.found(blob.size_bytes)
        progress.done(1)

    def _send_parts(self, upload: transfer_pb2.BlobUpload, file: Path, progress: "_Progress") -> None:
        if not upload.missing_parts:
            return
        try:
            requests = _part_requests(upload, file, progress)
            for response in self._service.UploadParts(requests, timeout=STREAM_S_MAX):
                progress.durable(_part_size(upload, response.part))
        except PenstockError:
            progress.raise_trouble()
            raise

    def _send_parts_direct(self, upload: transfer_pb2.BlobUpload, file: Path, progress: "_Progress") -> None:
        numbers = deque(upload.missing_parts)
        signed: deque[tuple[int, str]] = deque()
        sending = Sending(file)
        try:
            while numbers or signed or sending.running:
                while (numbers or signed) and sending.running < AT_ONCE_MAX:
                    if not signed:
                        some = [numbers.popleft() for _ in range(min(len(numbers), SIGNED_AT_ONCE))]
                        request = transfer_pb2.SignUploadPartsRequest(name=upload.name, parts=some)
                        response = self._service.SignUploadParts(request)
                        signed.extend((number, one.url) for number, one in zip(some, response.urls, strict=True))
                    number, url = signed.popleft()
                    sending.add(url, (number - 1) * upload.part_bytes, _part_size(upload, number))
                progress.durable(in_thread(sending.next))
        finally:
            in_thread(sending.close)

    # Receiving

    def _missing(self, wanted: Sequence[Wanted], progress: "_Progress") -> list[Wanted]:
        """The files that are not in their places."""
        there = in_thread(lambda: [one for one in wanted if one.may_be_there()])
        blobs = Transfers(self._service, None).digests([one.target for one in there])
        whole = {one.target for one, blob in zip(there, blobs, strict=True) if blob == one.blob}
        for one in there:
            if one.target in whole:
                progress.found(one.blob.size_bytes)
                progress.done(1)
        return [one for one in wanted if one.target not in whole]

    def _receive_group(self, version: str, group: Sequence[Wanted], progress: "_Progress") -> None:
        while group:
            writing = SmallFiles(group)
            request = transfer_pb2.DownloadFilesRequest(name=version, paths=[one.path for one in group])
            try:
                for response in self._service.DownloadFiles(request, silence_s=SILENCE_S):
                    for written in in_thread(writing.add, response.pieces):
                        progress.durable(written.blob.size_bytes)
                        progress.done(1)
            except ServerUnavailable:
                if progress.stalled_s > RETRY_S:
                    raise
                sleep(RETRY_PAUSE_S)
            else:
                writing.check_whole()
            group = writing.left

    def _receive_file(self, version: str, wanted: Wanted, progress: "_Progress") -> None:
        size = wanted.blob.size_bytes
        incoming = Incoming(wanted)
        try:
            in_thread(incoming.open)
            progress.found(incoming.offset)
            while incoming.offset < size:
                try:
                    if self._direct and size >= IN_PARTS_FROM_BYTES:
                        self._receive_direct(version, wanted, incoming, progress)
                    else:
                        self._receive(version, wanted, incoming, progress)
                except ServerUnavailable as error:
                    self._reconsider(error, progress)
                    if progress.stalled_s > RETRY_S:
                        raise
                    sleep(RETRY_PAUSE_S)
            in_thread(incoming.finish)
        finally:
            incoming.close()
        progress.done(1)

    def _receive(self, version: str, wanted: Wanted, incoming: Incoming, progress: "_Progress") -> None:
        request = artifact_service_pb2.DownloadFileRequest(name=version, path=wanted.path, offset=incoming.offset)
        for response in self._service.DownloadFile(request, silence_s=SILENCE_S):
            if response.data:
                in_thread(incoming.write, response.data)
                progress.durable(len(response.data))
        if incoming.offset < wanted.blob.size_bytes:
            raise PenstockError(f"{wanted.path!r} ended too early.", reason="BLOB_MISMATCH")

    def _receive_direct(self, version: str, wanted: Wanted, incoming: Incoming, progress: "_Progress") -> None:
        request = transfer_pb2.SignFileDownloadRequest(name=version, path=wanted.path)
        try:
            signed = self._service.SignFileDownload(request)
        except Conflict as error:
            if error.reason != "NO_DIRECT_WAY":
                raise
            self._direct = False
            return
        receiving = Receiving(signed.url.url, incoming.offset, wanted.blob.size_bytes)
        try:
            while data := in_thread(receiving.next):
                in_thread(incoming.write, data)
                progress.durable(len(data))
        finally:
            in_thread(receiving.close)


class _Progress:
    """Counts what is done of a phase, and tells it.

    Args:
        phase: Its name.
        blobs: What there is to do.
        tell: Is told.

    Attributes:
        trouble: What a file that cannot be read any more ended it with.
        advanced: Whether any bytes have become durable since this was set to False.
    """

    def __init__(self, phase: str, blobs: Sequence[artifact_pb2.BlobId], tell: Tell | None) -> None:
        self._phase = phase
        self._tell = tell
        self._moved_s = time.monotonic()
        self.trouble: InvalidInput | None = None
        self.advanced = False
        self.restart(blobs)

    @property
    def stalled_s(self) -> float:
        """Seconds since something was done."""
        return time.monotonic() - self._moved_s

    @property
    def futile(self) -> bool:
        """Whether bytes were moved since the last beginning, and none of them is durable."""
        return self._sent and not self._durable

    def restart(self, blobs: Sequence[artifact_pb2.BlobId]) -> None:
        """Begins anew with what is left."""
        self._total = sum(blob.size_bytes for blob in blobs)
        self._count = len(blobs)
        self._bytes = self._files = 0
        self._sent = self._durable = False

    def moved(self) -> None:
        """Something goes on."""
        self._moved_s = time.monotonic()

    def sent(self, size: int) -> None:
        """Some bytes are on their way."""
        self._sent = True
        self.moved()
        self.found(size)

    def durable(self, size: int) -> None:
        """Some bytes are there, and need not be sent again."""
        self._durable = self.advanced = True
        self.sent(size)

    def found(self, size: int) -> None:
        """Some bytes were there before."""
        self._bytes += size
        self._show()

    def done(self, count: int) -> None:
        """Some files are there."""
        self._durable = self._durable or count > 0
        self._files += count
        self._show()

    def raise_trouble(self) -> None:
        """Raises what ended the sending, if that was on this side."""
        if self.trouble is not None:
            raise self.trouble from None

    def _show(self) -> None:
        if self._tell is not None:
            self._tell(Transfer(self._phase, self._bytes, self._total, self._files, self._count))


def _blob_requests(
    project: str, blobs: Sequence[artifact_pb2.BlobId], files: Mapping[str, Path], progress: _Progress
) -> Stream[artifact_service_pb2.UploadBlobsRequest]:
    """The messages that upload blobs from files, read as they are sent."""
    for number, blob in enumerate(blobs):
        yield artifact_service_pb2.UploadBlobsRequest(parent="" if number else project, blob=blob)
        file = files[blob.sha256]
        try:
            opened = in_thread(file.open, "rb")
            with opened:
                while piece := in_thread(read_piece, opened):
                    yield artifact_service_pb2.UploadBlobsRequest(data=piece)
                    progress.sent(len(piece))
        except OSError as error:
            # An error here would only cancel the call: the stream ends too early, and the reader of the answers tells why.
            progress.trouble = InvalidInput(f"{file} cannot be read: {error.strerror}.")
            return


def _part_requests(
    upload: transfer_pb2.BlobUpload, file: Path, progress: _Progress
) -> Stream[transfer_pb2.UploadPartsRequest]:
    """The messages that send the missing parts of an upload, read as they are sent."""
    name = upload.name
    try:
        opened = in_thread(file.open, "rb")
        with opened:
            for number in upload.missing_parts:
                yield transfer_pb2.UploadPartsRequest(name=name, part=number)
                name = ""
                left = _part_size(upload, number)
                opened.seek((number - 1) * upload.part_bytes)
                while left and (piece := in_thread(read_piece, opened, left)):
                    left -= len(piece)
                    yield transfer_pb2.UploadPartsRequest(data=piece)
                if left:
                    progress.trouble = InvalidInput(f"{file} became shorter while it was sent.")
                    return
    except OSError as error:
        progress.trouble = InvalidInput(f"{file} cannot be read: {error.strerror}.")


def _part_size(upload: transfer_pb2.BlobUpload, number: int) -> int:
    return min(upload.part_bytes, upload.blob.size_bytes - (number - 1) * upload.part_bytes)
