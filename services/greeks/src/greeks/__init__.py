"""Greeks of the whole option chain, every second."""
