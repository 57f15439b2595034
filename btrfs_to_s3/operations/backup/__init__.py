"""Backing up: from a source as it is to a live backup (design §4)."""
