"""What a backup run should do with a source, and on what it builds."""
