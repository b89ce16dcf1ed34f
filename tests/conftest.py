"""What all tests share: bytecode that is kept, and how properties are searched.

A shared machine stands still for a second now and then, so no example has a time of its own. The
gate judges a change and not its luck: there the examples are the same in every run. Anywhere else
they are new ones each time.
"""

import os
import sys

from hypothesis import HealthCheck, settings

# Containers like to forbid bytecode. These tests start some hundred Python processes, and each of
# them would compile all that it imports again: numpy, MuJoCo and pyarrow, many also torch.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("gate", settings.get_profile("search"), derandomize=True)
settings.load_profile("search")
