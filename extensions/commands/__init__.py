"""The commands of `levels`, a module each: what its help says (HELP), its options (`add_options`) and its
work (`run`).

What a command needs is imported when it runs: reading a project's source takes longer to load than most
commands take.
"""
