"""Where the figures come from: git, the ledger, GitHub, Prometheus. Each can be missing, and says so."""
