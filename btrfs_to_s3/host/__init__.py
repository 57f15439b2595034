"""This machine: locks, journals, caches, identity, processes."""
