"""What holds for all tests."""

import os

from hypothesis import settings

# No test depends on the clock, and what fails once fails again. The long forms look further.
settings.register_profile("penstock", deadline=None, derandomize="PENSTOCK_SOAK" not in os.environ)
settings.load_profile("penstock")
