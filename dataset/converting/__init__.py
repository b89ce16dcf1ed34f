"""The parts of robotd dataset convert."""
