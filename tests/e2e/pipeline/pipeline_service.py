"""A service as its own ``__main__`` runs it, reading a chosen number of records at a time.

``python pipeline_service.py <service> <records>``; settings come from the environment as for any service.
"""

import sys
from dataclasses import replace

from pipeline_oracle import SERVICES

from streamkit.loop import LoopConfig
from streamkit.service import main

if __name__ == "__main__":
    name, records = sys.argv[1], int(sys.argv[2])
    settings_type, build = SERVICES[name]

    class Batched(settings_type):  # type: ignore[misc, valid-type]  # the base is chosen on the command line
        def loop_config(self) -> LoopConfig:
            return replace(super().loop_config(), poll_max_records=records)

    main(Batched, build)
