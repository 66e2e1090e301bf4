"""What an activation sits in: a block, a mixture, a decoder."""
