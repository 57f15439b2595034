"""Faults by real means: the real program, in a namespace of its own, while something goes wrong."""
