"""Measurements too long for tests; each module has a small command line."""
