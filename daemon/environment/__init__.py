"""What a machine's environment does to policies: probed in child processes, judged purely.

`robotd doctor env`. The probes import torch, JAX and GL each in a process of its own, because a
broken driver hangs or ends whoever touches it.
"""
