"""Option pricing and greeks on arrays: numpy and compiled kernels, no I/O.

Public: :mod:`pricing.black76` (European values and greeks), :mod:`pricing.implied_vol`, :mod:`pricing.inverse`
(coin-settled contracts, forwards from deltas), :mod:`pricing.spot_grid` (gamma and vanna of a chain on a grid of
spots), :mod:`pricing.surface` (vol surfaces) and :mod:`pricing.asian` (options on the settlement average). Units and
signs: ``docs/reference/conventions.md``.
"""
