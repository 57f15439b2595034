"""Results as JSON documents and as text."""
