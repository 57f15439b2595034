"""This machine: filesystems, devices, namespaces, networks, and what of them was made here."""
