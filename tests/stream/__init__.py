"""Stages of the raw stream."""
