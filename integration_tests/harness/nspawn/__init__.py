"""A Debian machine with a systemd of its own, booted by systemd-nspawn(1) on a loopback network."""
