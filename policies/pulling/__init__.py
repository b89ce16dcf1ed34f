"""Checkpoints from elsewhere: fetched whole or gone on with, verified file by file, kept in a cache.

`robotd ckpt pull|list|rm`. Nothing here imports torch; the hub's client and fsspec are imported
when a source needs them.
"""
