"""The service, as a package."""
