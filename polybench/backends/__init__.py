"""How an activation is executed."""
