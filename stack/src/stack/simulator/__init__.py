"""A Deribit and a Binance on loopback: a generated market with known dealer inventory, in the venues' own protocols."""
