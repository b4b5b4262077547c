"""The commands of `levels`: a module each."""
