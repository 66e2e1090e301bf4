"""A suite becomes jobs of trials."""
