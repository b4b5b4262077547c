"""What an environment needs before a release can run there: its settings, its host, and what GitHub holds."""
