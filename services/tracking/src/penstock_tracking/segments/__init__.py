"""What runs logged, rewritten into columns: the format, the manifest, who makes it, and the log as readers see it."""
