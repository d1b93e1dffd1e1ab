"""Dealer inventory, exposure, flips and walls, every second."""
