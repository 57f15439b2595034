"""Building blocks of the privileged harness."""
