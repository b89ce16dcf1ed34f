"""A policy for others over a websocket, in openpi's protocol (`robotd serve-policy`)."""
