"""What a restore receives, and what must be thawed for it."""
