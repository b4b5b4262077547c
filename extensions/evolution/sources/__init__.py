"""Where the figures come from: git, the deployment log, GitHub, Prometheus. Each can be missing, and says
so.
"""
