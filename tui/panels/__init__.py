"""The panels of the record screen, each a pure function from a `View` to styled text."""
