"""Servo bus, SO-101 arms, calibration and cameras: everything that touches a device."""
