"""The four technical ports that services keep their state behind, their adapters, and the contract suites they all pass."""
