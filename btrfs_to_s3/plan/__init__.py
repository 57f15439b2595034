"""Decisions as values: pure functions of observed facts, each with its reasons."""
