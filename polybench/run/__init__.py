"""Jobs become records."""
