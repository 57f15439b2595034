"""What the scripts stand on: settings, privileges, the stage they play on, checks and results."""
