"""What one writes without a library: Black-76 and eleven greeks in twenty lines of numpy and scipy."""

import numpy as np
from bench.pricing.workload import FloatArray, Options
from scipy.special import ndtr


def numpy_black76(o: Options) -> tuple[FloatArray, ...]:
    """Price, delta, gamma, vega, theta, rho, vanna, volga, charm, speed, color, zomma; rate 0."""
    F, K, T, sigma = o.forward, o.strike, o.tau_years, o.vol
    sqrt_T = np.sqrt(T)
    s = sigma * sqrt_T
    d1 = np.log(F / K) / s + 0.5 * s
    d2 = d1 - s
    phi = np.exp(-0.5 * d1 * d1) * 0.3989422804014327
    sign = np.where(o.is_call, 1.0, -1.0)
    nd1 = ndtr(sign * d1)
    price = sign * (F * nd1 - K * ndtr(sign * d2))
    gamma = phi / (F * s)
    vega = F * phi * sqrt_T
    theta = -0.5 * vega * sigma / T
    vanna = -phi * d2 / sigma
    volga = vega * d1 * d2 / sigma
    charm = 0.5 * phi * d2 / T
    speed = -gamma / F * (1.0 + d1 / s)
    color = gamma * 0.5 * (1.0 - d1 * d2) / T
    zomma = gamma * (d1 * d2 - 1.0) / sigma
    return price, sign * nd1, gamma, vega, theta, -T * price, vanna, volga, charm, speed, color, zomma
