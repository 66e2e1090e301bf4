"""One file a format: a document becomes text, a page or data."""
