"""One repository's records: read, checked, cached and committed."""
