"""The promises, by name."""
