"""Option pricing and greeks on arrays: numpy only, no I/O."""
