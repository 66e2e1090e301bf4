"""Text becomes tokens: one file a source, and what splits and caches it."""
