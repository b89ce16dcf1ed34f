"""The uploads' command."""
