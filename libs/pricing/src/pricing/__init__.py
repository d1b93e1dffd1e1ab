"""Option pricing and greeks on arrays: numpy only, no I/O.

Public: :mod:`pricing.black76` (European values and greeks), :mod:`pricing.inverse` (coin-settled contracts, forwards
from deltas) and :mod:`pricing.spot_grid` (gamma and vanna of a chain on a grid of spots). Units and signs:
``docs/reference/conventions.md``.
"""
