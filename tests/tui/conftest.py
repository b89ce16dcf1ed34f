"""Makes this folder's own modules importable; it cannot be a package, or it would hide the real
`tui`. The terminal of the snapshots is one with true colour, whatever the tests run in."""

import os
import sys
from pathlib import Path

os.environ["COLORTERM"] = "truecolor"
os.environ.pop("NO_COLOR", None)
sys.path.insert(0, str(Path(__file__).parent))
