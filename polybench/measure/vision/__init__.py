"""Images, a small residual network, and its training."""
