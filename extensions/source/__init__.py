"""Reading Python source: nothing of it is imported or run."""
