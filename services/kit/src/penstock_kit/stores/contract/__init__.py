"""The contract suites: what every adapter of a port must pass. A new adapter is one subclass with one fixture."""
