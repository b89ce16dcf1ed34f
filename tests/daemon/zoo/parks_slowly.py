"""Says READY; when it is asked to end it takes its time, and writes down that it got there."""

import signal
import sys
import time
from pathlib import Path

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
place = Path(sys.argv[1])
place.write_text("up")
sys.stdout.write("READY\n")
sys.stdout.flush()
signal.sigwait([signal.SIGTERM])
time.sleep(0.5)
place.write_text("down")
