"""The parts of robotd dataset export."""
