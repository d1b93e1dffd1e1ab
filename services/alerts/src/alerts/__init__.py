"""Alert rules over dealer levels and data quality (Faust)."""
