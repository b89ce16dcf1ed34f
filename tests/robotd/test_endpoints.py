"""Connections that nobody closed: their end keeps no program from going on."""

import subprocess
import sys
import textwrap


def test_a_connection_lost_in_a_cycle_ends_without_waiting() -> None:
    """In a process of its own: what is tested is that it does not hang."""
    program = textwrap.dedent(
        """
        import gc
        import zmq
        from robotd.endpoints import Endpoints

        class Owner:
            def __init__(self):
                self.endpoints = Endpoints(self)
                self.socket = self.endpoints.open(zmq.DEALER)
                self.socket.connect("ipc:///nobody-is-here.sock")
                self.socket.send(b"to nobody")
                self.itself = self

        Owner()
        gc.collect()
        kept = Owner()
        kept.endpoints.drop(kept.socket)
        kept.endpoints.close()
        kept.endpoints.close()
        left_to_the_end = Owner()
        print("done")
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
