"""The verbs of `robotd ckpt` that work on a folder."""
