"""Whether a checkpoint says what people did, and if not, why: before it moves anything."""
