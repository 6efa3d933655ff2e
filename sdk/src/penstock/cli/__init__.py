"""The `penstock` command. Each module holds one group of commands; `main` puts them together.

Conventions, the same in every command:

- `--json`: lists and tails print one JSON document per line, everything else prints exactly one. An error is one document
  on stderr: `{"error": {"reason": ..., "message": ..., "metadata": {...}}}`. NaN and the infinities, which JSON lacks, are
  the strings "NaN", "Infinity" and "-Infinity".
- Exit status: 0 done, 1 failed, 2 wrong usage or input, 3 not found, 4 not signed in or not allowed, 5 no server or no
  answer, 130 interrupted.
- What a script wants goes to stdout, everything else (progress, hints, errors) to stderr.

Commands import the client, and with it gRPC, only when they run: `penstock --help` needs neither.
"""
