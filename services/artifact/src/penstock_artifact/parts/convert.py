"""Between the messages of the contract and uploads in parts."""

from collections.abc import Sequence

from penstock.api.artifact.v1 import transfer_pb2 as pb
from penstock_artifact.convert import DATA_BYTES_MAX, blob_message, time_message
from penstock_artifact.errors import UploadInvalid
from penstock_artifact.parts.domain import BlobUpload
from penstock_artifact.signing import SignedUrl
from penstock_kit.names import BlobUploadName
from penstock_kit.stores.parts import PARTS_MAX

__all__ = ["parts_request", "upload_message", "url_message"]


def parts_request(raw: bytes) -> pb.UploadPartsRequest:
    """Reads a message of UploadParts. Raises `UploadInvalid` if it breaks a rule of the contract.

    In place of protovalidate, which would copy the bytes of each message twice. The name is parsed where it is used.
    """
    request = pb.UploadPartsRequest.FromString(raw)
    if len(request.data) > DATA_BYTES_MAX:
        raise UploadInvalid(f"A message has {len(request.data):,} bytes of a part; {DATA_BYTES_MAX:,} is the most.")
    if request.HasField("part") and not 1 <= request.part <= PARTS_MAX:
        raise UploadInvalid(f"Parts are counted from 1 to {PARTS_MAX:,}.")
    return request


def upload_message(upload: BlobUpload, missing: Sequence[int], *, direct: bool) -> pb.BlobUpload:
    """Packs an upload."""
    message = pb.BlobUpload(
        name=str(BlobUploadName(upload.project, upload.upload_id)),
        direct=direct,
        expire_time=time_message(upload.expire_us),
    )
    if upload.blob is not None:
        message.blob.CopyFrom(blob_message(upload.blob))
        message.part_bytes = upload.parts.part_bytes
        message.missing_parts.extend(missing)
    return message


def url_message(signed: SignedUrl) -> pb.SignedUrl:
    """Packs a signed URL."""
    return pb.SignedUrl(url=signed.url, expire_time=time_message(signed.expire_us))
