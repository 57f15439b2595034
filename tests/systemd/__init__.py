"""The units of systemd that the project ships."""
