"""Checking that what is stored can be restored."""
