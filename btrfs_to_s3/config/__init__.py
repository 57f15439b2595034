"""Settings: where they come from, what they may be, and how people write sizes and times."""
