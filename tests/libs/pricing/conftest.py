"""Kernels are loaded before the first test: compiling them, once per change, takes longer than a property may."""

from pricing.black76 import load_kernel
from pricing.spot_grid import load_kernels

load_kernel()
load_kernels()
