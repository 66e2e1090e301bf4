"""Clocks, counters, and what is held to float64."""
