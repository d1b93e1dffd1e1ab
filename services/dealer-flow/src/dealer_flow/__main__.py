"""``python -m dealer_flow``: run the service until it is told to stop."""

from dealer_flow.pipeline import build
from dealer_flow.settings import DealerFlowSettings
from pricing import black76, spot_grid
from streamkit.service import main

if __name__ == "__main__":
    black76.load_kernel()
    spot_grid.load_kernels()
    main(DealerFlowSettings, build)
