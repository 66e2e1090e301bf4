"""Records become comparisons, and against a baseline verdicts."""
