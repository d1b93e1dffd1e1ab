"""Raw topics as files: the long-term archive, written by ``record`` and read back by the ``file`` source."""
