"""Exactly-once run loop over Kafka, with an in-memory broker twin."""
