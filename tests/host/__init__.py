"""Locks, journals, identity, signals."""
