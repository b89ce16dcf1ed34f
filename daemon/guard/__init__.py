"""The guard: a process with one job. When control is silent or dead, it brings the arm down.

It shares with control what lies below it (framer, bus, link) and the governed release, and nothing
else: neither its core nor its gate, states or calibration. It reads ticks, never a register, while
control lives.
"""
