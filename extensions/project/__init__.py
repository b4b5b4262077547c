"""What is asked of a project's folder: its git and its files."""
