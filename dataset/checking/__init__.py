"""The parts of robotd dataset check: each looks at one side of a dataset."""
