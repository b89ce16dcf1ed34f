"""The `robotd` program: one small module for each group of commands, loaded by name when called."""
