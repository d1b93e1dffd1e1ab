"""Options that settle to an average of prices (Asian options), seasoned or not.

Units and signs: ``docs/reference/conventions.md``.

* :mod:`pricing.asian.averaging`: which fixings are known and when the others come.
* :mod:`pricing.asian.rqmc`: price, delta, gamma, vega with standard errors; the engine.
* :mod:`pricing.asian.curran`: the lower bound in closed form; the fast path, good to 2e-5.
* :mod:`pricing.asian.turnbull_wakeman`: two moments; the crude one.
* :mod:`pricing.asian.implied`: the vol that reprices a quote.
* :mod:`pricing.asian.effect`: what settlement to an average does to a European option's price and greeks.
"""
