"""Says READY and ends when it is asked to."""

import signal
import sys

sys.stdout.write("READY\n")
sys.stdout.flush()
signal.sigwait([signal.SIGTERM])
sys.exit(0)
