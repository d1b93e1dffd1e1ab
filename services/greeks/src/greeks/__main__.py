"""``python -m greeks``: run the service until it is told to stop."""

from greeks.pipeline import build
from greeks.settings import GreeksSettings
from pricing.black76 import load_kernel
from streamkit.service import main

if __name__ == "__main__":
    load_kernel()
    main(GreeksSettings, build)
