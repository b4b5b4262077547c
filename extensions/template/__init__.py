"""The template itself: its levels as folders, the answers that a project gives, and where it stands."""
