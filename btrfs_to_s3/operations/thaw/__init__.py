"""Making archived chunks readable, and waiting until they are."""
