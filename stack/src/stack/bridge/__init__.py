"""A development server that speaks ClickHouse's HTTP interface over one in-process engine (chdb).

``python -m stack.bridge --data-dir DIR`` serves; :func:`stack.bridge.engine.open_engine` opens the same directory
without HTTP when no server holds it. What it does and does not do: ``docs/explanation/clickhouse-bridge.md``.
"""
