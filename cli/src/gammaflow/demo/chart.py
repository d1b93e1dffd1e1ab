"""Pictures as inline SVG: small, sharp, and coloured by the page's own theme."""

from collections.abc import Sequence
from dataclasses import dataclass

from gammaflow.demo.levels import Level

WIDTH, HEIGHT = 900, 320
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 20, 30


@dataclass(frozen=True, slots=True)
class Axes:
    """Maps data to pixels; y always spans zero."""

    x_min: float
    x_max: float
    y_min: float
    y_max: float

    def x(self, value: float) -> float:
        """Return the pixel column of ``value``."""
        return LEFT + (value - self.x_min) / (self.x_max - self.x_min) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Return the pixel row of ``value``."""
        return TOP + (self.y_max - value) / (self.y_max - self.y_min) * (HEIGHT - TOP - BOTTOM)


def axes_of(xs: Sequence[float], ys: Sequence[float]) -> Axes:
    """Return axes that hold the data and zero, never of zero height."""
    low, high = min(0.0, *ys), max(0.0, *ys)
    pad = 0.05 * ((high - low) or 1.0)
    return Axes(min(xs), max(xs), low - pad, high + pad)


def gex_chart(level: Level) -> str:
    """Draw GEX(S) with spot and flips; empty when there is no profile, or a flat one."""
    if level.spot is None or not any(level.profile_ngi):
        return ""
    axes = axes_of(level.profile_spots, level.profile_ngi)
    zero = axes.y(0.0)
    points = [(axes.x(spot), axes.y(ngi)) for spot, ngi in zip(level.profile_spots, level.profile_ngi, strict=True)]
    curve = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    area = f"{points[0][0]:.1f},{zero:.1f} {curve} {points[-1][0]:.1f},{zero:.1f}"
    identity = f"{level.underlying}-{level.sign_model}"
    parts = [
        clip(f"above-{identity}", TOP, zero),
        clip(f"below-{identity}", zero, HEIGHT - BOTTOM),
        polygon(area, f"above-{identity}", "var(--positive)"),
        polygon(area, f"below-{identity}", "var(--negative)"),
        f'<polyline points="{curve}" fill="none" stroke="var(--ink)" stroke-width="1.5"/>',
        frame(axes),
        vertical(axes.x(level.spot), f"spot {level.spot:,.0f}", dashed=False),
        *(vertical(axes.x(flip), f"flip {flip:,.0f}", dashed=True, left=flip < level.spot) for flip in level.flips),
    ]
    return svg(parts, f"GEX profile of {identity}")


def strike_chart(level: Level) -> str:
    """Draw the calls' and puts' gamma per strike within 30 % of spot; empty when there is none, or a flat book."""
    if level.spot is None:
        return ""
    near = [
        (strike, call, put)
        for strike, call, put in zip(level.strikes, level.call_ngi, level.put_ngi, strict=True)
        if 0.7 * level.spot <= strike <= 1.3 * level.spot
    ]
    if not any(call or put for _, call, put in near):
        return ""
    axes = axes_of([0.7 * level.spot, 1.3 * level.spot], [value for _, call, put in near for value in (call, put)])
    parts = [frame(axes)]
    for strike, call, put in near:
        parts += [bar(axes, strike, call, "var(--positive)", -2.2), bar(axes, strike, put, "var(--negative)", 2.2)]
    parts.append(vertical(axes.x(level.spot), f"spot {level.spot:,.0f}", dashed=False))
    return svg(parts, f"gamma by strike of {level.underlying} {level.sign_model}")


def svg(parts: Sequence[str], label: str) -> str:
    """Return the picture with its label for screen readers."""
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def clip(identity: str, top: float, bottom: float) -> str:
    """Return a clip path between two rows."""
    return f'<clipPath id="{identity}"><rect x="0" y="{top:.1f}" width="{WIDTH}" height="{max(0.0, bottom - top):.1f}"/></clipPath>'


def polygon(points: str, clip_id: str, fill: str) -> str:
    """Return a filled area, clipped."""
    return f'<polygon points="{points}" clip-path="url(#{clip_id})" fill="{fill}" fill-opacity="0.35"/>'


def bar(axes: Axes, strike: float, value: float, fill: str, shift: float) -> str:
    """Return one bar from zero to ``value`` beside the strike."""
    top, bottom = sorted((axes.y(value), axes.y(0.0)))
    return f'<rect x="{axes.x(strike) + shift - 2:.1f}" y="{top:.1f}" width="4" height="{max(0.5, bottom - top):.1f}" fill="{fill}"/>'


def vertical(x: float, text: str, *, dashed: bool, left: bool = False) -> str:
    """Return a labelled vertical line; labels of flips stand lower, so that one near spot stays readable."""
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    anchor, shift = ("end", -5) if left or x > WIDTH * 0.8 else ("start", 5)
    row = HEIGHT - BOTTOM - 8 if dashed else TOP + 14
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="var(--spot)" stroke-width="1.2"{dash}/>'
        f'<text x="{x + shift:.1f}" y="{row}" text-anchor="{anchor}">{text}</text>'
    )


def frame(axes: Axes) -> str:
    """Return the zero line, three x labels and two y labels."""
    middle = (axes.x_min + axes.x_max) / 2
    xs = "".join(
        f'<text x="{axes.x(value):.1f}" y="{HEIGHT - 10}" text-anchor="{anchor}">{value:,.0f}</text>'
        for value, anchor in ((axes.x_min, "start"), (middle, "middle"), (axes.x_max, "end"))
    )
    ys = "".join(
        f'<text x="{LEFT - 8}" y="{axes.y(value) + 4:.1f}" text-anchor="end">{value / 1e6:,.1f} M</text>'
        for value in (axes.y_max, axes.y_min)
    )
    zero = f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{axes.y(0):.1f}" y2="{axes.y(0):.1f}" stroke="var(--line)"/>'
    return f'{zero}<text x="{LEFT - 8}" y="{axes.y(0) + 4:.1f}" text-anchor="end">0</text>{xs}{ys}'
