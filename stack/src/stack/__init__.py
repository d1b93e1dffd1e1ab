"""The embedded Kafka, registry and ClickHouse, and the venue simulator (development and tests only)."""
