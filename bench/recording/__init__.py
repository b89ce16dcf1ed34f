"""The parts of robotd bench record: robotd's recorder and LeRobot's writer on the same pictures."""
