"""``python -m dealer_flow``: run the service until it is told to stop."""

from dealer_flow.pipeline import build
from dealer_flow.settings import DealerFlowSettings
from streamkit.service import main

if __name__ == "__main__":
    main(DealerFlowSettings, build)
