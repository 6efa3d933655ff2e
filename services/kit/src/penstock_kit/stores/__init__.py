"""The four technical ports that services keep their state behind, their adapters, and their contract suites."""
