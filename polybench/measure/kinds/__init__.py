"""One file a kind: a way to measure."""
