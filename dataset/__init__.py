"""Tools for datasets that are finished: look, check, repair, edit, convert, export."""
