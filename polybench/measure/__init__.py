"""A trial goes in, measurements come out."""
