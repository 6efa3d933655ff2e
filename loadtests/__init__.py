"""Benchmarks: each measures Penstock beside a peer or a physical limit in the same run, and prints JSON.

`make bench` runs all; `python -m loadtests NAME...` some. Nothing here is asserted by the tests: a figure is a report.
"""
