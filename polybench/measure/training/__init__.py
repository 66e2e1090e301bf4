"""A decoder is trained, looked at, kept and asked."""
