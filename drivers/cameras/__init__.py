"""Cameras behind one interface: a V4L2 device, or the plant's rendered pictures."""
