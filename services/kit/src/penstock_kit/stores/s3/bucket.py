"""Owns the way to one bucket: what a URL must lead to, the threads in which requests are made, what errors mean.

minio-py blocks, so every request is made in a thread of the store's own: a server that hangs holds nobody else up.
"""

import asyncio
import contextlib
import functools
import os
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, ParamSpec, Self, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree.ElementTree import ParseError

import certifi
import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError, ReadTimeoutError, SSLError

from penstock_kit.stores.blobs import BlobMissing, BlobStoreFull
from penstock_kit.stores.errors import StoreClosed, StoreError, StoreMisconfigured, StoreUnavailable
from penstock_kit.stores.parts import PartsGone
from penstock_kit.stores.threads import settled

__all__ = ["S3Bucket"]

P = ParamSpec("P")
T = TypeVar("T")

REQUESTS_MAX: Final = 16  # at once, each in a thread
CONNECT_TIMEOUT_S: Final = 3.0
READ_TIMEOUT_S: Final = 20.0  # without a byte from the server
OPEN_TIMEOUT_S: Final = 5.0  # the same, of the first request, which is not repeated
REPEATS_MAX: Final = 1  # of a request that failed on the way, or for which the server had no time
REPEAT_PAUSE_S: Final = 0.1
REGION: Final = "us-east-1"  # of servers that have none

_REPEATED_STATUS: Final = (500, 502, 503, 504)
_NO_SUCH_BLOB: Final = frozenset({"NoSuchKey", "NoSuchObject"})
_NOT_ALLOWED: Final = frozenset({"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccountProblem"})
_OTHER_REGION: Final = frozenset(
    {"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"}
)
_DISK_FULL: Final = "no space left on device"  # what MinIO says of the last megabytes; SeaweedFS says nothing
_NO_ROOM: Final = frozenset({"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded"})
_INSUFFICIENT_STORAGE: Final = 507
_SERVER_FAILURE: Final = 500
_EXAMPLE: Final = "It looks like s3://access-key:secret-key@host:9000/bucket?secure=false."


@dataclass(frozen=True, slots=True)
class _Address:
    host: str
    access_key: str
    secret_key: str
    bucket: str
    secure: bool
    region: str


class S3Bucket:
    """One bucket of one server. Made by `open`.

    Attributes:
        client: minio-py's client. Its calls block.
        name: The bucket's name.
        shown: The bucket's address for people, without credentials.
    """

    def __init__(self, address: _Address, public_url: str) -> None:
        self.name = address.bucket
        self.shown = f"s3://{address.host}/{address.bucket}"
        self.client = _client(address, READ_TIMEOUT_S, REPEATS_MAX)
        self._signer = _client(_public(address, public_url), READ_TIMEOUT_S, 0) if public_url else self.client
        self._threads = ThreadPoolExecutor(REQUESTS_MAX, thread_name_prefix="s3")
        self._closed = False

    @classmethod
    async def open(cls, url: str, public_url: str) -> Self:
        """Connects, and checks that the bucket is there and can be read.

        Args:
            url: `s3://access-key:secret-key@host:port/bucket`, the keys percent-encoded. `?secure=false` for a server without
                TLS, `&region=` where it has regions.
            public_url: `http(s)://host:port` by which clients reach the server; empty if they reach it by `url`.

        Raises:
            StoreUnavailable: Nothing answers there.
            StoreMisconfigured: A URL is wrong, what is there is no S3 server, it has no such bucket, or the credentials do
                not allow its use.
        """
        address = _parsed(url)
        bucket = cls(address, public_url)
        client = _client(address, OPEN_TIMEOUT_S, repeats=0)
        try:
            # The least that needs the credentials, and is answered with a reason.
            await bucket.ask(lambda: next(client.list_objects(bucket.name, prefix="!"), None))
        except ValueError as error:  # minio-py's, about the bucket's name
            await bucket.close()
            raise StoreMisconfigured(bucket.shown, f"cannot be used: {error}", _EXAMPLE) from None
        except BaseException:
            await bucket.close()
            raise
        return bucket

    async def ask(self, call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Makes a call that blocks, in a thread, and waits for its end also when cancelled.

        Raises `BlobMissing`, `PartsGone`, `BlobStoreFull`, `StoreError`, `StoreClosed`.
        """
        if self._closed:
            raise StoreClosed(f"{self.shown} is closed")
        loop = asyncio.get_running_loop()
        with self._translated():
            return await settled(loop.run_in_executor(self._threads, functools.partial(call, *arguments, **options)))

    def signed(self, method: str, name: str, expires_s: int, query: dict[str, str] | None = None) -> str:
        """Returns a URL with which anybody may make one kind of request for one object, for a while. Asks nobody.

        Args:
            method: `GET` or `PUT`.
            name: The object.
            expires_s: For how long.
            query: Parameters of the request, which it is bound to.
        """
        return self._signer.get_presigned_url(
            method, self.name, name, expires=timedelta(seconds=expires_s), extra_query_params=dict(query or {})
        )

    async def close(self) -> None:
        """Closes the connections. Requests that are being made still end."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)

    @contextlib.contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except S3Error as error:
            raise self._translation(error) from error
        except ServerError as error:
            raise self._failure(error.status_code) from error
        except InvalidResponseError as error:
            if error._code >= _SERVER_FAILURE:  # private: there is no other way to the status
                raise self._failure(error._code) from error
            raise self._not_s3() from error
        except ParseError as error:
            raise self._not_s3() from error
        except (HTTPError, OSError) as error:
            raise self._unreachable(error) from error
        except MinioException as error:
            raise StoreError(self.shown, "refused a request", "The server's log tells more.") from error

    def _translation(self, error: S3Error) -> Exception:
        code, status = error.code or "", error.response.status
        if code in _NO_SUCH_BLOB:
            return BlobMissing(error.object_name)
        if code == "NoSuchUpload":
            return PartsGone(error.object_name)
        if code in _NO_ROOM or status == _INSUFFICIENT_STORAGE or _DISK_FULL in (error.message or ""):
            return BlobStoreFull(f"{self.shown}: {code}")
        if code == "NoSuchBucket":
            return StoreMisconfigured(self.shown, "is no bucket of this server", "Create it, or correct its name.")
        if code in _NOT_ALLOWED:
            return StoreMisconfigured(
                self.shown,
                "refuses the credentials",
                "Check the keys in the URL, and that they may list, read, write and delete in the bucket.",
            )
        if code in _OTHER_REGION:
            return StoreMisconfigured(self.shown, "is in another region", "Add region=... to the URL.")
        if code == "RequestTimeTooSkewed":
            return StoreMisconfigured(self.shown, "has another time", "Set the clocks of both machines.")
        if status >= _SERVER_FAILURE:
            return self._failure(status)
        return StoreError(self.shown, f"refused a request ({code})", "The server's log tells more.")

    def _failure(self, status: int) -> Exception:
        if status == _INSUFFICIENT_STORAGE:
            return BlobStoreFull(self.shown)
        return StoreUnavailable(self.shown, f"failed with status {status}", "Try again, and look at its log.")

    def _not_s3(self) -> StoreMisconfigured:
        return StoreMisconfigured(
            self.shown,
            "does not answer as an S3 server",
            "Correct the address, or secure=true|false in the URL.",
        )

    def _unreachable(self, error: Exception) -> StoreError:
        reason = error.reason if isinstance(error, MaxRetryError) else error
        if isinstance(reason, SSLError):
            return StoreMisconfigured(
                self.shown,
                "cannot be reached with TLS",
                "Put secure=false into the URL where it has none; its certificate must be known to this machine.",
            )
        if isinstance(reason, ProtocolError):
            return StoreUnavailable(
                self.shown, "ends connections without an answer", "Check that an S3 server listens there, and its log."
            )
        if isinstance(reason, ReadTimeoutError):
            return StoreUnavailable(
                self.shown, "does not answer in time", "Try again, and look at its log and its load."
            )
        return StoreUnavailable(self.shown, "cannot be reached", "Start the server there, or correct the address.")


def _client(address: _Address, read_timeout_s: float, repeats: int) -> Minio:
    return Minio(
        address.host,
        address.access_key,
        address.secret_key,
        secure=address.secure,
        region=address.region,
        http_client=urllib3.PoolManager(
            maxsize=REQUESTS_MAX,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=read_timeout_s),
            retries=urllib3.Retry(
                repeats,
                connect=0,
                backoff_factor=REPEAT_PAUSE_S,
                status_forcelist=_REPEATED_STATUS,
                respect_retry_after_header=False,  # it may say a minute, and callers wait
                raise_on_status=False,  # the last answer says why
            ),
            ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
        ),
    )


def _parsed(url: str) -> _Address:
    """Reads the URL of a bucket. Raises `StoreMisconfigured`, without any part that may be secret."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _misread("cannot be read: percent-encode special characters in the keys") from None
    options = parse_qs(parts.query, keep_blank_values=True)
    secure = options.pop("secure", ["true"])[-1].lower()
    region = options.pop("region", [REGION])[-1]
    bucket = unquote(parts.path).strip("/")
    if not parts.hostname or parts.fragment:
        raise _misread("names no host")
    if not parts.username or not parts.password:
        raise _misread("has no access key and secret key")
    if not bucket or "/" in bucket:
        raise _misread("must name a bucket and nothing in it")
    if secure not in ("true", "false") or not region or options:
        raise _misread("has options other than secure=true|false and region=...")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return _Address(
        host=host if port is None else f"{host}:{port}",
        access_key=unquote(parts.username),
        secret_key=unquote(parts.password),
        bucket=bucket,
        secure=secure == "true",
        region=region,
    )


def _misread(reason: str) -> StoreMisconfigured:
    return StoreMisconfigured("The URL of the S3 store", reason, _EXAMPLE)


def _public(address: _Address, url: str) -> _Address:
    """Returns the address that a public URL leads to. Raises `StoreMisconfigured`."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.path.strip("/"):
        raise StoreMisconfigured(
            "The public URL of the S3 store",
            "cannot be used",
            "It is what clients reach the server by, without a path: https://s3.example.org.",
        )
    return replace(address, host=parts.netloc, secure=parts.scheme == "https")
