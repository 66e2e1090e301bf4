"""Experiment trackers: one file each, found by its `@loggers.register`."""
