"""One transfer by one client, in a process of its own: `python artifact_client.py CLIENT DO PATH`.

CLIENT is `penstock`, `minio`, `boto3` or `mlflow`, DO is `put` (PATH is a file or a folder) or `get` (into PATH). The
environment says where to: PENSTOCK_URL and PENSTOCK_TOKEN, or BENCH_S3_ADDRESS, BENCH_S3_BUCKET, AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY, or MLFLOW_TRACKING_URI.

Prints a JSON line: `seconds`, and `above_idle_mb`, the most memory during the transfer above what the process held before,
connected. Imports nothing of Penstock's servers: it also runs where only clients are installed. Run it with `-P`: modules
beside it have names of the standard library.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

ARTIFACT = "bench"
OBJECT = "file"
RUN = "bench"


def penstock(do: str, path: Path) -> Callable[[], object]:
    """Through Penstock's client."""
    from penstock.client import Client

    client = Client()
    list(client.artifacts(limit=1))
    if do == "put":
        return lambda: client.put_artifact(ARTIFACT, path)
    return lambda: client.get_artifact(ARTIFACT, path)


def minio(do: str, path: Path) -> Callable[[], object]:
    """minio-py with what it does by itself: three parts at once."""
    from minio import Minio

    client = Minio(
        os.environ["BENCH_S3_ADDRESS"],
        os.environ["AWS_ACCESS_KEY_ID"],
        os.environ["AWS_SECRET_ACCESS_KEY"],
        secure=False,
    )
    bucket = os.environ["BENCH_S3_BUCKET"]
    client.bucket_exists(bucket)
    if do == "put":
        return lambda: client.fput_object(bucket, OBJECT, str(path))
    return lambda: client.fget_object(bucket, OBJECT, str(path / OBJECT))


def boto3(do: str, path: Path) -> Callable[[], object]:
    """boto3 with what it does by itself: ten parts at once."""
    import boto3

    client = boto3.client("s3", endpoint_url=f"http://{os.environ['BENCH_S3_ADDRESS']}", region_name="us-east-1")
    bucket = os.environ["BENCH_S3_BUCKET"]
    client.head_bucket(Bucket=bucket)
    if do == "put":
        return lambda: client.upload_file(str(path), bucket, OBJECT)
    return lambda: client.download_file(bucket, OBJECT, str(path / OBJECT))


def mlflow(do: str, path: Path) -> Callable[[], object]:
    """MLflow's client, whose server keeps the files."""
    from mlflow import MlflowClient

    client = MlflowClient()
    if do == "put":
        run = client.create_run("0", run_name=RUN).info.run_id
        return lambda: client.log_artifacts(run, str(path))
    (found,) = client.search_runs(["0"], f"attributes.run_name = '{RUN}'", max_results=1)
    return lambda: client.download_artifacts(found.info.run_id, "", str(path))


def peak_bytes() -> int:
    """The most memory that this process has held."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return psutil.Process().memory_info().rss


def main(client: str, do: str, path: str) -> None:
    """Does it."""
    work = {"penstock": penstock, "minio": minio, "boto3": boto3, "mlflow": mlflow}[client](do, Path(path))
    idle = psutil.Process().memory_info().rss
    start_s = time.perf_counter()
    work()
    seconds = time.perf_counter() - start_s
    print(json.dumps({"seconds": seconds, "above_idle_mb": (peak_bytes() - idle) / 1e6}))


if __name__ == "__main__":
    main(*sys.argv[1:])
