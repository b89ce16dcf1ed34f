"""Benchmarks: robotd measured beside its peers, in one run and by one measure; imported by nobody."""
