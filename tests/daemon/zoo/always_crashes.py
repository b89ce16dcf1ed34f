"""Dies at once, with a reason in three parts."""

import sys

from robotd.errors import BusError

sys.stderr.write(f"{BusError('The cable is gone.', 'A cat.', 'Plug it in.')}\n")
sys.exit(3)
