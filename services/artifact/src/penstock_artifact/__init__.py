"""The artifact service: files by content, versions of them, and their lineage."""
