"""Adapters without a server: SQLite, the file system and the process itself. Durable, and good for one machine."""
