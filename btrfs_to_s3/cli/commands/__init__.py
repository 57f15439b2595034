"""One command of the program per file."""
