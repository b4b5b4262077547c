"""What Copier calls while it renders: only the standard library and what Copier itself depends on is
imported.
"""
