"""Comparisons become a document: an answer, tables, pictures."""
