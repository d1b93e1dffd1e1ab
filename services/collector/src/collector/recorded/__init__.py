"""Recordings of other people's feeds, turned into the frames the venue would have sent."""
