"""What this machine is, what disturbs it, and whether times of two machines compare."""
