"""Configuration: the typed schema, the shipped profiles and how a file of the user is read."""
