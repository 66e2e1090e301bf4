"""Tasks of lm-evaluation-harness that polybench brings: one file a task, and none needs a network."""
