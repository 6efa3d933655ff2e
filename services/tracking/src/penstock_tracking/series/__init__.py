"""The way out: what the log holds, as latest values, series, charts and a live tail."""
