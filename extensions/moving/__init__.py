"""Going to another level or version: the move, what it takes over or restores, and a look ahead at it."""
