"""Raw venue messages to trades, 1 s books, aligned tickers and the clock."""
