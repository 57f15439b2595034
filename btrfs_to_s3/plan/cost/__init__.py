"""What storing, reading and deleting cost, now and over time."""
