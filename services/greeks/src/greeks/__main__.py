"""``python -m greeks``: run the service until it is told to stop."""

from greeks.pipeline import build
from greeks.settings import GreeksSettings
from streamkit.service import main

if __name__ == "__main__":
    main(GreeksSettings, build)
