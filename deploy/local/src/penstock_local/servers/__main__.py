"""`python -m penstock_local.servers`: fetches every program that is not here yet, and says what cannot be had."""

import sys

from penstock_local.servers import MinioServer, MongoServer, ProgramMissing, RedisServer, SeaweedServer, ServerProcess

KINDS: tuple[type[ServerProcess], ...] = (MongoServer, RedisServer, SeaweedServer, MinioServer)


def main() -> int:
    """Returns the exit status: 1 if a store is left without a server. MinIO may be missing where SeaweedFS is not."""
    missing: set[type[ServerProcess]] = set()
    for kind in KINDS:
        try:
            kind.fetch()
        except ProgramMissing as error:
            missing.add(kind)
            sys.stderr.write(f"{error}\n")
    return 1 if missing - {MinioServer} else 0


if __name__ == "__main__":
    sys.exit(main())
