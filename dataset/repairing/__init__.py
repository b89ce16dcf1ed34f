"""The parts of robotd dataset check --fix: a copy from what is whole."""
