"""One file an outlet: verdicts become what is read elsewhere."""
