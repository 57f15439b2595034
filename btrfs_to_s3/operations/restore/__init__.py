"""Restoring: from stored chunks to a subvolume that is what was sent (design §4)."""
