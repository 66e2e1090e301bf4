"""One file a backend: how an activation is executed."""
