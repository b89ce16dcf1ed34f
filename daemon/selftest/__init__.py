"""The first day on hardware: a person and a program find out together whether an arm is as written.

It runs instead of the daemon, never beside it, and is the one other program that may write a motor:
it holds the lock of the serial device, uses control's own gate, arming and governed release, and
ends with torque off and read back, whatever happened.
"""
