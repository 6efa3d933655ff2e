"""Packs previews into the messages of the contract."""

from penstock.api.artifact.v1 import preview_pb2 as pb
from penstock_artifact.convert import blob_message
from penstock_artifact.previews.domain import Media, Preview, Table, Text

__all__ = ["preview_message"]


def preview_message(preview: Preview) -> pb.FilePreview:
    """Packs a preview."""
    message = pb.FilePreview(blob=blob_message(preview.blob), problem=preview.problem)
    match preview.content:
        case Text() as text:
            message.text.CopyFrom(
                pb.TextPreview(text=text.text, format=pb.TextFormat.Name(text.format), truncated=text.truncated)
            )
        case Table() as table:
            message.table.CopyFrom(_table_message(table))
        case Media() as media:
            message.media.media_type = media.media_type
    return message


def _table_message(table: Table) -> pb.TablePreview:
    return pb.TablePreview(
        columns=[pb.TableColumn(name=column.name, type=column.type) for column in table.columns],
        rows=[pb.TableRow(cells=[pb.TableCell(text=cell) for cell in row]) for row in table.rows],
        column_count=table.column_count,
        row_count=table.row_count,
    )
