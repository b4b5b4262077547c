"""The template's Python: what Copier runs at render time, and the `levels` command.

What is loaded at render time (`rendering`, `template`) imports the standard library and what Copier itself
depends on, nothing more.
"""
