"""The composition root: which parts the artifact service is made of, over whatever stores it is given."""

import contextlib
from dataclasses import dataclass

from penstock.api.artifact.v1 import artifact_service_pb2, transfer_pb2
from penstock_artifact.collector import Collector
from penstock_artifact.contents import Contents
from penstock_artifact.convert import upload_request
from penstock_artifact.files.convert import upload_file_request
from penstock_artifact.files.service import FileService
from penstock_artifact.files.store import FILE_COLLECTIONS, FileStore
from penstock_artifact.jobs import jobs
from penstock_artifact.parts.convert import parts_request
from penstock_artifact.parts.service import PartUploads
from penstock_artifact.parts.store import UPLOAD_COLLECTIONS, UploadStore
from penstock_artifact.previews.service import Previewer
from penstock_artifact.retention import Retainer
from penstock_artifact.service import ArtifactService
from penstock_artifact.servicer import ArtifactServicer
from penstock_artifact.settings import ArtifactSettings
from penstock_artifact.signing import UrlSigner
from penstock_artifact.store import COLLECTIONS, ArtifactStore
from penstock_kit.application import Application
from penstock_kit.clock import Clock
from penstock_kit.server import Codec, Mount
from penstock_kit.stores.blobs import BlobStore, PresignedLinks
from penstock_kit.stores.documents import DocumentStore
from penstock_kit.stores.open import open_blobs, open_documents

__all__ = ["SERVICE", "ArtifactStores", "build", "open_stores"]

SERVICE = artifact_service_pb2.DESCRIPTOR.services_by_name["ArtifactService"]


@dataclass(frozen=True, slots=True)
class ArtifactStores:
    """What the artifact service keeps things in."""

    documents: DocumentStore
    blobs: BlobStore

    async def close(self) -> None:
        """Closes both. Harmless after the first time."""
        await self.documents.close()
        await self.blobs.close()


async def open_stores(settings: ArtifactSettings, clock: Clock) -> ArtifactStores:  # noqa: ARG001 - as every service's
    """Opens the stores that the settings name; those without a URL in `data_dir`, made if missing.

    Raises `StoreMisconfigured`, `StoreUnavailable`, `StoreFileError`.
    """
    folder = settings.data_dir
    async with contextlib.AsyncExitStack() as opened:
        documents = await open_documents(
            settings.documents_url or str(folder / "documents.sqlite"),
            (*COLLECTIONS, *FILE_COLLECTIONS, *UPLOAD_COLLECTIONS),
            mongo_driver=settings.mongo_driver,
        )
        opened.push_async_callback(documents.close)
        blobs = await open_blobs(settings.blobs_url or str(folder / "blobs"), public_url=settings.s3_public_url)
        opened.pop_all()
        return ArtifactStores(documents, blobs)


def build(settings: ArtifactSettings, stores: ArtifactStores, clock: Clock) -> Application:
    """Makes the artifact service. Takes over the stores: closing the application closes them."""
    store = ArtifactStore(stores.documents)
    file_store = FileStore(stores.documents)
    # Clients are sent to the object store only by an address that is known to be for them.
    signer: UrlSigner | None = None
    if settings.s3_public_url and isinstance(stores.blobs, PresignedLinks):
        signer = UrlSigner(stores.blobs, clock)
    uploads = PartUploads(store, UploadStore(stores.documents), stores.blobs, signer, clock)
    contents = Contents(store, stores.blobs, signer, clock)
    service = ArtifactService(store, stores.blobs, contents, clock)
    files = FileService(file_store, store, stores.blobs, contents, service, clock)
    return Application(
        mounts=[
            Mount(
                SERVICE,
                ArtifactServicer(service, files, uploads, Previewer()),
                codecs={
                    "UploadBlobs": Codec(upload_request, artifact_service_pb2.UploadBlobsResponse.SerializeToString),
                    "UploadFile": Codec(upload_file_request, artifact_service_pb2.UploadFileResponse.SerializeToString),
                    "UploadParts": Codec(parts_request, transfer_pb2.UploadPartsResponse.SerializeToString),
                },
            )
        ],
        jobs=jobs(Retainer(store, clock), Collector(store, file_store, stores.blobs, clock), uploads),
        close=stores.close,
    )
