"""A process that reads the beginning of a Parquet file for the service, which gives it no more than bytes.

A Parquet file is decoded by a large library in C++, and may have been made to exhaust memory or worse. So it is read apart,
with a limit of memory and of processor time. This process opens nothing: it asks for bytes on stdout, one line of JSON
`[offset, length]` each, gets exactly these on stdin, and ends with one line of JSON, an object: the table, or a `problem`.
Its only argument is the size of the file.
"""

import io
import json
import resource
import sys
from typing import Any, Final

from penstock_artifact.previews.domain import CELL_CHARS_MAX, COLUMNS_MAX, ROWS_MAX

__all__ = ["main"]

MEMORY_BYTES_MAX: Final = 1024**3
"""Of addresses, of which the library itself takes a third."""
PROCESSOR_S_MAX: Final = 10
_BUFFER_BYTES: Final = 65_536
_MESSAGE_CHARS_MAX: Final = 200


class _Remote:
    """The file, as much of one as the library needs: each read asks the service."""

    closed = False

    def __init__(self, size: int) -> None:
        self._size = size
        self._place = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def close(self) -> None:
        self.closed = True

    def read(self, size: int) -> bytes:
        length = max(0, min(size, self._size - self._place))
        if length == 0:
            return b""
        _say([self._place, length])
        data = sys.stdin.buffer.read(length)
        if len(data) < length:
            raise OSError("more of the file would have to be read than a preview may")
        self._place += length
        return data


def main() -> None:
    """Reads the file and prints the table."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S_MAX, PROCESSOR_S_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        said = _table(_Remote(int(sys.argv[1])))
    except MemoryError:
        said = {"problem": "it needs too much memory"}
    except Exception as error:  # the library raises many kinds, and each means that it is not shown
        said = {"problem": str(error)[:_MESSAGE_CHARS_MAX]}
    _say(said)


def _say(message: Any) -> None:
    sys.stdout.buffer.write(json.dumps(message, ensure_ascii=False).encode(errors="replace") + b"\n")
    sys.stdout.buffer.flush()


def _table(remote: _Remote) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(1)
    file = pq.ParquetFile(pa.PythonFile(remote, mode="r"), buffer_size=_BUFFER_BYTES, pre_buffer=False)
    schema = file.schema_arrow
    names = schema.names[:COLUMNS_MAX]
    rows: list[list[str | None]] = []
    for batch in file.iter_batches(batch_size=ROWS_MAX, columns=names, use_threads=False):
        columns = [batch.column(place) for place in range(batch.num_columns)]
        rows += [[_cell(column[row]) for column in columns] for row in range(batch.num_rows)]
        if len(rows) >= ROWS_MAX:
            break
    return {
        "columns": [[name[:CELL_CHARS_MAX], str(schema.field(name).type)[:CELL_CHARS_MAX]] for name in names],
        "rows": rows[:ROWS_MAX],
        "column_count": len(schema.names),
        "row_count": file.metadata.num_rows,
    }


def _cell(scalar: Any) -> str | None:
    value = scalar.as_py()
    return None if value is None else str(value)[:CELL_CHARS_MAX]


if __name__ == "__main__":
    main()
