"""Evolution: what the project measures of itself, which level is due, and what is on."""
