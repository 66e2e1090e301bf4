"""One file a source of tokens."""
