"""Defects put into copies of the program, each of which a script of ours must catch."""
