"""The supervisor: it starts, watches and ends the other processes and speaks to clients.

It opens no device and imports no model, no encoder and no policy; it waits on nobody.
"""
