"""What the commands do, in terms of ports, plans and streams."""
