"""Stages the raw stream passes through, and the pump that owns their threads."""
