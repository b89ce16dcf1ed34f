"""Runs and never says that it is ready, but writes a lot."""

import signal
import sys

sys.stdout.write("not READY yet " * 10_000)
sys.stdout.flush()
sys.stderr.write("words\n")
signal.sigwait([signal.SIGTERM])
