"""Turns ``schemas/`` into Python and Markdown; imports nothing generated, so broken output can be generated anew."""
