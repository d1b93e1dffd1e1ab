"""``python -m normalizer``: exit code 0 when stopped, 1 when it must be restarted, 2 when a person must act."""

from normalizer.pipeline import pipeline
from normalizer.settings import Settings
from streamkit.service import main

if __name__ == "__main__":
    main(Settings, lambda settings: pipeline(settings.venues, settings.limits()))
