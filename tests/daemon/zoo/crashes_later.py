"""Dies when the file that it is given is there, with a reason in three parts."""

import sys
import time
from pathlib import Path

from robotd.errors import BusError

while not Path(sys.argv[1]).exists():
    time.sleep(0.01)
sys.stderr.write(f"{BusError('The cable is gone.', 'A cat.', 'Plug it in.')}\n")
sys.exit(3)
