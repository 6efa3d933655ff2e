"""Load tests and benchmarks. README.md says what is measured, and how to read it.

A benchmark is a module here with `run() -> list[Figure]`; each figure stands beside a peer or a physical limit of the same
run. Nothing that is measured is asserted by the tests: a figure is a report.
"""
