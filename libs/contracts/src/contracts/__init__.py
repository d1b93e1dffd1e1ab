"""Records, codecs and topics generated from schemas/."""
