"""Kernels are loaded before the first test: compiling them, once per change, takes longer than a property may."""

from pricing import black76, implied_vol, spot_grid

black76.load_kernel()
implied_vol.load_kernel()
spot_grid.load_kernels()
