"""The parts of robotd bench uploads."""
