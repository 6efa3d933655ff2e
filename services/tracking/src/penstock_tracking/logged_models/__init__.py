"""Models that runs log, before anybody registers one: their metadata, and what was measured of them."""
