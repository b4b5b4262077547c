"""Tests that assert something, written from the source alone: docs/stubs.md tells what of."""
