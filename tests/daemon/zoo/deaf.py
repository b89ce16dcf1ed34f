"""Says READY and ignores SIGTERM."""

import signal
import sys
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.stdout.write("READY\n")
sys.stdout.flush()
time.sleep(600)
