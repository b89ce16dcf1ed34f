"""Training with LeRobot's own trainer: prepared, watched, and handed on."""
