"""Counting successes: which episodes, who plays them where, what came of them, and how sure that makes one."""
