"""The recording core: episode journals that survive a kill, and datasets LeRobot reads unchanged.

`journal` writes an episode as it happens, `dataset` moves a kept journal into a LeRobotDataset
v3.0, `session` is what a person does with both (keep, discard, undo, recover). Nothing in here
opens a device or owns a loop: the recorder process calls it, in real time or in lock-step.
"""
