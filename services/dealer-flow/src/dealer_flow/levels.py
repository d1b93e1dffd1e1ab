"""GEX(S): the book repriced over a grid of spots, the flips where it changes sign, and the walls. Arrays in and out."""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from dealer_flow.chain import DAYS_PER_YEAR, BoolArray, ChainGreeks, FloatArray, atm_vol_of_a_day
from dealer_flow.roots import sign_changes
from pricing.black76 import black76
from pricing.spot_grid import GammaVanna, gamma_vanna_on_spots, signed_sums

PROFILE_SPOTS: Final = 301
PROFILE_RANGE: Final = (0.5, 1.5)
_STEP: Final = (PROFILE_RANGE[1] - PROFILE_RANGE[0]) / (PROFILE_SPOTS - 1)
_FLOOR: Final = 1e-12
"""Share of the largest gross gamma on the grid below which NGI counts as zero: rounding, and tails nobody hedges."""

FlipStatus = Literal["ok", "ambiguous", "none_in_range", "suppressed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RepricedChain:
    """A chain's gamma and vanna under sticky strike on the profile's spots and on the nodes between them."""

    chain: ChainGreeks
    spot: float
    nodes: FloatArray
    """Ascending spots, USD: the profile's, and more around strikes too narrow for it"""
    in_profile: BoolArray
    """True for the nodes that belong to the profile"""
    greeks: GammaVanna


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A dealer book repriced at each spot; arrays of shape (301,), ascending, the middle one is spot itself."""

    spots: FloatArray
    ngi_usd_per_pct: FloatArray
    vss_usd_per_vol_point: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A spot at which NGI changes sign."""

    spot: float
    """USD"""
    distance_pct: float
    """100 · (flip − S)/S"""
    distance_sigmas: float | None
    """(flip − S)/(S·σ_ATM·√(1/365)); None without an at-the-money vol"""
    slope_usd_per_pct_per_usd: float
    """d NGI/dS at the flip"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """All flips in 0.5–1.5 × S, ascending, and the one nearest to spot."""

    all: tuple[Flip, ...] = ()
    status: FlipStatus
    nearest: float | None = None


def profile_spots(spot: float) -> FloatArray:
    """Return the 301 spots of GEX(S): 0.5 to 1.5 × S in equal steps, S exactly in the middle."""
    ratios = np.linspace(*PROFILE_RANGE, PROFILE_SPOTS)
    ratios[PROFILE_SPOTS // 2] = 1.0
    return spot * ratios


def reprice(chain: ChainGreeks, spot: float) -> RepricedChain:
    """Reprice every option of ``chain`` (all of them usable) under sticky strike: F′ = F·S′/S, vols fixed."""
    spots = profile_spots(spot)
    nodes = np.unique(np.concatenate((spots, _narrow_nodes(chain, spot))))
    return RepricedChain(
        chain=chain,
        spot=spot,
        nodes=nodes,
        in_profile=np.isin(nodes, spots),
        greeks=_greeks_at(chain, spot, nodes),
    )


def profile(repriced: RepricedChain, position: FloatArray) -> Profile:
    """NGI(S′) = Σ q Γ(F′) S′² · 0.01 and VSS(S′) = Σ q vanna(F′) S′ · 0.01 at the profile's spots."""
    keep = repriced.in_profile
    spots = repriced.nodes[keep]
    vanna = signed_sums(repriced.greeks.vanna_per_unit_vol[keep], position)
    return Profile(
        spots=spots,
        ngi_usd_per_pct=_ngi(repriced.nodes, repriced.greeks, position)[keep],
        vss_usd_per_vol_point=vanna * spots * 0.01,
    )


def flips(repriced: RepricedChain, position: FloatArray) -> Flips:
    """Return every root of the repriced NGI in 0.5–1.5 × S, polished on the repriced book to 1e-10 relative.

    A flat book (no gamma anywhere) has none; :func:`dealer_flow.roots.sign_changes` has the rules for zeros on nodes
    and for touching zero. ``nearest`` is the root nearest to spot, the lower one of equally near ones.
    """
    gross = _ngi(repriced.nodes, repriced.greeks, np.abs(position))

    def ngi_at(spot: float) -> float:
        node = np.array([spot])
        return float(_ngi(node, _greeks_at(repriced.chain, repriced.spot, node), position)[0])

    values = _ngi(repriced.nodes, repriced.greeks, position)
    roots = sign_changes(ngi_at, repriced.nodes, values, floor=_FLOOR * float(gross.max()))
    found = tuple(_flip(repriced, position, root) for root in roots)
    if not found:
        return Flips(status="none_in_range")
    nearest = min(roots, key=lambda root: abs(root - repriced.spot))
    return Flips(all=found, status="ok" if len(found) == 1 else "ambiguous", nearest=nearest)


def walls(strikes: FloatArray, ngi: FloatArray) -> tuple[float | None, float | None]:
    """Return the strikes of the largest positive and the largest negative net dealer gamma; None where there is none.

    The lowest strike of equally large ones.
    """
    if strikes.size == 0:
        return None, None
    top, bottom = int(np.argmax(ngi)), int(np.argmin(ngi))
    return (
        float(strikes[top]) if ngi[top] > 0 else None,
        float(strikes[bottom]) if ngi[bottom] < 0 else None,
    )


def _greeks_at(chain: ChainGreeks, spot: float, nodes: FloatArray) -> GammaVanna:
    return gamma_vanna_on_spots(
        spots=nodes, spot=spot, forward=chain.forward, strike=chain.strike, tau_years=chain.tau_years, vol=chain.vol
    )


def _ngi(spots: FloatArray, greeks: GammaVanna, position: FloatArray) -> FloatArray:
    return signed_sums(greeks.gamma, position) * spots * spots * 0.01


def _narrow_nodes(chain: ChainGreeks, spot: float) -> FloatArray:
    """Spots around each strike whose gamma is narrower than the grid: every half deviation, four to each side.

    In its last half hour an option's gamma is a spike that can lie wholly between two of the 301 spots.
    """
    sd = chain.vol * np.sqrt(chain.tau_years)
    narrow = sd < _STEP
    centres = spot * chain.strike[narrow] / chain.forward[narrow]
    nodes = centres[:, None] * np.exp(np.arange(-8, 9) * 0.5 * sd[narrow][:, None])
    low, high = (spot * bound for bound in PROFILE_RANGE)
    return nodes[(nodes > low) & (nodes < high)]


def _flip(repriced: RepricedChain, position: FloatArray, root: float) -> Flip:
    spot, chain = repriced.spot, repriced.chain
    atm_vol = atm_vol_of_a_day(chain)
    distance = (root - spot) / spot
    return Flip(
        spot=root,
        distance_pct=100.0 * distance,
        distance_sigmas=None if atm_vol is None else distance / (atm_vol / math.sqrt(DAYS_PER_YEAR)),
        slope_usd_per_pct_per_usd=_slope(chain, position, spot, root),
    )


def _slope(chain: ChainGreeks, position: FloatArray, spot: float, at: float) -> float:
    """Derivative of 0.01·S′²·Σ q Γ(F·S′/S) in S′: 0.01·(2·S′·Σ q Γ + S′²·Σ q · speed · F/S)."""
    moved = black76(
        forward=chain.forward * (at / spot),
        strike=chain.strike,
        tau_years=chain.tau_years,
        vol=chain.vol,
        is_call=chain.is_call,
    )
    gamma = float(np.sum(position * moved.gamma))
    speed = float(np.sum(position * moved.speed * chain.forward)) / spot
    return 0.01 * (2.0 * at * gamma + at * at * speed)
