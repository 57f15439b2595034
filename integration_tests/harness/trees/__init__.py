"""Trees of files: seeded, changed, compared."""
