"""What stays and what may go, with the rule that says so."""
