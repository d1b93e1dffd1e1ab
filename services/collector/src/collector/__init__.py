"""Venue sockets and recordings to raw topics, untouched."""
