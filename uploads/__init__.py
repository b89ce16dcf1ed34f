"""Uploads: a durable queue from committed episodes to a hub, in a process of its own."""
