"""Owns real store servers on this machine: finds or fetches their programs, starts them on free loopback ports, ends them.

For tests, benchmarks and a platform whose stores are servers. Everything is quick once fetched: programs come from PATH,
else from a cache folder that `python -m penstock_local.servers` fills.
"""

from penstock_local.servers.mongo import MongoServer
from penstock_local.servers.process import ServerFailed, ServerProcess
from penstock_local.servers.programs import ProgramMissing
from penstock_local.servers.redis import RedisServer
from penstock_local.servers.s3 import MinioServer, S3Server, SeaweedServer

__all__ = [
    "MinioServer",
    "MongoServer",
    "ProgramMissing",
    "RedisServer",
    "S3Server",
    "SeaweedServer",
    "ServerFailed",
    "ServerProcess",
]
