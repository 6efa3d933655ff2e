"""Quality gates: policies, what is measured of versions, and what a policy says of a version."""
