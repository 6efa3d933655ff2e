"""Previews: what can be shown of a file without downloading it."""
