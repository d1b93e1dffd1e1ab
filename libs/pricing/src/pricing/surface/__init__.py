"""Volatility surfaces of option chains.

The way in is :func:`pricing.surface.build.build_surface`: quotes of all expiries in, an arbitrage-free surface with a
certificate out. Models: :mod:`~pricing.surface.andreasen_huge` (the pricing surface), :mod:`~pricing.surface.svi`
(summary and fallback), :mod:`~pricing.surface.essvi`, :mod:`~pricing.surface.sabr` and :mod:`~pricing.surface.pchip`
(comparisons). Conventions: k = ln(K/F), total variance w = σ²T, values over the forward of their own expiry.
"""
