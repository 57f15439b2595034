"""Settings, sizes, durations."""
