"""The control process: the serial buses, the tick clock, the limits gate. Nothing else can write a
motor.
"""
