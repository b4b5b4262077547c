"""The tests that need servers, containers, the network or a long run: `make proof`."""
