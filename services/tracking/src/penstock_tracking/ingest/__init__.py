"""The way in: one stream per writer, checked, committed in groups, acknowledged when durable."""
