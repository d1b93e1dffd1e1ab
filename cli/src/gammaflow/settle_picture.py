"""The settlement effect as a picture: gamma of an average over that of a European option, as expiry comes near."""

import math
from collections.abc import Callable, Sequence
from typing import Final

from pricing.asian.effect import Effect

WIDTH, HEIGHT = 890, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 195, 24, 46
HIGHEST: Final = 2.0
_TICKS: Final = {
    10_080.0: "7 d",
    1440.0: "1 d",
    360.0: "6 h",
    120.0: "2 h",
    60.0: "1 h",
    30.0: "30 min",
    10.0: "10 min",
}
_TICKS_LATE: Final = {5.0: "5 min", 2.0: "2 min", 1.0: "1 min"}
_INK, _GREY, _GRID = "#1f2933", "#7b8794", "#d9dee3"


def picture(effects: Sequence[Effect]) -> str:
    """Return an SVG document: time to expiry falls to the right, on a logarithmic scale; 1 is no effect."""
    curves: list[tuple[str, str, Callable[[Effect], float]]] = [
        ("gamma, at the money", "#b42318", lambda effect: effect.gamma),
        ("gamma, 2 sd above", "#c77700", lambda effect: float(effect.gamma_wings[-1])),
        ("delta, at the money", "#1d5fa8", lambda effect: effect.delta),
        ("price, at the money", "#2f7d4f", lambda effect: effect.price),
    ]
    parts = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *(_tick(minutes, text) for minutes, text in (_TICKS | _TICKS_LATE).items()),
        *(_level(level) for level in (0.0, 0.5, 1.0, 1.5, 2.0)),
        _window(effects),
        *(_curve(effects, colour, value) for _, colour, value in curves),
        *(_legend(row, name, colour) for row, (name, colour, _) in enumerate(curves)),
        _text(
            LEFT, HEIGHT - 8, "time to expiry (Deribit: 450 fixings in the last 30 minutes; 70 % vol in both)", _GREY
        ),
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
    label = "Greeks of an option on the settlement average over those of a European option, by time to expiry"
    return "\n".join([f'{head} font-size="12" role="img" aria-label="{label}">', *parts, "</svg>"]) + "\n"


def _x(minutes: float) -> float:
    span = math.log(10_080.0)
    return LEFT + (span - math.log(minutes)) / span * (WIDTH - LEFT - RIGHT)


def _y(ratio: float) -> float:
    return TOP + (HIGHEST - ratio) / HIGHEST * (HEIGHT - TOP - BOTTOM)


def _curve(effects: Sequence[Effect], colour: str, value: Callable[[Effect], float]) -> str:
    points = " ".join(f"{_x(effect.minutes):.1f},{_y(value(effect)):.1f}" for effect in effects)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _window(effects: Sequence[Effect]) -> str:
    """Shade the settlement window."""
    start, end = _x(30.0), _x(effects[-1].minutes)
    shade = f'<rect x="{start:.1f}" y="{TOP}" width="{end - start:.1f}" height="{HEIGHT - TOP - BOTTOM}" fill="#7b8794"'
    return f'{shade} fill-opacity="0.10"/>{_text(start + 6, TOP + 14, "settlement window", _GREY)}'


def _tick(minutes: float, text: str) -> str:
    x = _x(minutes)
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{_GRID}"/>'
    return line + _text(x, HEIGHT - BOTTOM + 16, text, _INK, anchor="middle")


def _level(ratio: float) -> str:
    colour = _GREY if ratio == 1.0 else _GRID
    line = f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(ratio):.1f}" y2="{_y(ratio):.1f}" stroke="{colour}"/>'
    return line + _text(LEFT - 8, _y(ratio) + 4, f"{ratio:.1f}", _INK, anchor="end")


def _legend(row: int, name: str, colour: str) -> str:
    x, y = WIDTH - RIGHT + 12, TOP + 14 + 20 * row
    return f'<line x1="{x}" x2="{x + 16}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" stroke-width="2"/>' + _text(
        x + 21, y, name, _INK
    )


def _text(x: float, y: float, text: str, colour: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{text}</text>'
