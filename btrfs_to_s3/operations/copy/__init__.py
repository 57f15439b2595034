"""Copying a chain to another repository."""
