"""One file an activation: an `nn.Module` that maps (..., G*F) to (..., F).

`branches` is G: 1, or 2 for gated kinds. `source` is where the formula comes from.
"""
