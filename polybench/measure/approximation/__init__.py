"""Networks that are built or trained to be a given function, and how far they are from it."""
