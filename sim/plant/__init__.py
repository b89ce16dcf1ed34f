"""The virtual SO-101: servos byte for byte behind a serial line, MuJoCo as the physical world.

The plant sits on the far side of the wire and knows no driver: its register table, its calibration
and its physics are its own, or a bug shared with the drivers would be invisible. `python -m
sim.plant` serves it on a pseudo-terminal in real time; `sim.plant.lockstep` runs the same servos
in virtual time.
"""
