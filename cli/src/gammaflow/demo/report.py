"""The one-page HTML report: levels, the GEX(S) picture, rates and data quality. Pure: data in, text out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from gammaflow.demo.chart import gex_chart, strike_chart
from gammaflow.demo.levels import Latency, Level

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5c6773; --paper: #ffffff; --card: #f4f6f8; --line: #d5dbe1;
        --positive: #0072b2; --negative: #d55e00; --spot: #1c2430; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf0; --soft: #9aa5b1; --paper: #12161b; --card: #1b2129;
        --line: #333c47; --positive: #56b4e9; --negative: #e69f00; --spot: #e8ecf0; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto; max-width: 60rem;
       padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
p, li { max-width: 46rem; } .soft { color: var(--soft); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .6rem; margin: .8rem 0; }
dl div { background: var(--card); border-radius: .4rem; padding: .5rem .7rem; }
dt { color: var(--soft); font-size: .8rem; } dd { margin: 0; font-size: 1.1rem; font-variant-numeric: tabular-nums; }
figure { margin: .8rem 0; } figcaption { color: var(--soft); font-size: .85rem; }
svg { width: 100%; height: auto; display: block; background: var(--card); border-radius: .4rem; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .15rem .8rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: 0; } code { background: var(--card); padding: .1rem .3rem; }
"""

EXAMPLE_QUERY = (
    """./run sql "SELECT second, sign_model, ngi_usd_per_pct, flip_spot FROM dealer_exposure ORDER BY second DESC" """
)

MODEL_NOTE = {
    "naive": "dealers long every call and short every put, on open interest: the industry's default, for comparison",
    "taker_mirror": "minus the cumulative signed taker flow since the record began",
}


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page shows; ``rows`` counts rows per ClickHouse table."""

    source: str
    made_at: str
    levels: Sequence[Level]
    latency: Latency | None
    rows: Mapping[str, int]
    alerts: Sequence[str]


def render(report: Report) -> str:
    """Return the page."""
    body = "".join(level_section(level) for level in report.levels) or no_levels()
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>gammaflow: dealer gamma</title>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<style>{STYLE}</style></head><body>{header(report)}{body}{alerts(report.alerts)}{run_section(report)}</body></html>"
    )


def header(report: Report) -> str:
    """Return title and origin."""
    return (
        f"<h1>Dealer gamma</h1><p class='soft'>Source: {escape(report.source)}. Made {escape(report.made_at)} UTC.</p>"
    )


def no_levels() -> str:
    """Say why there is nothing to see."""
    return '<p>No exposure could be computed: see <code>./run sql "SELECT second, reasons FROM dealer_exposure"</code>.</p>'


def level_section(level: Level) -> str:
    """Return one underlying under one sign model: figures, GEX(S), strikes."""
    title = f"{escape(level.underlying)} · {escape(level.sign_model)}"
    note = escape(MODEL_NOTE.get(level.sign_model, ""))
    figures = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures_of(level))
    reasons = f"<p class='soft'>Notes: {escape(', '.join(level.reasons))}</p>" if level.reasons else ""
    pictures = figure(
        gex_chart(level),
        "GEX(S): dealer gamma repriced at every spot, vols held per strike. Above zero dealers "
        "damp moves, below they chase them. Solid: spot; dashed: flips.",
    )
    pictures += figure(strike_chart(level), "Net dealer gamma by strike: calls and puts.")
    pictures = pictures or "<p>The book is flat under this model: no print of a live option since the record began.</p>"
    second = f"{level.second:%Y-%m-%d %H:%M:%S}"
    return f"<h2>{title}</h2><p class='soft'>{second} UTC; {note}.</p><dl>{figures}</dl>{reasons}{pictures}"


def figures_of(level: Level) -> list[tuple[str, str]]:
    """Return the figures as (name, text)."""
    flips = " / ".join(f"{flip:,.0f}" for flip in level.flips)
    return [
        ("spot", dollars(level.spot, 0)),
        ("NGI per +1 % spot", millions(level.ngi)),
        ("VSS per +1 vol point", millions(level.vss)),
        ("CHL per day", millions(level.chl)),
        ("flips", flips or level.flip_status),
        ("call wall", dollars(level.call_wall, 0)),
        ("put wall", dollars(level.put_wall, 0)),
        ("gamma coverage", "unknown" if level.coverage is None else f"{level.coverage:.1%}"),
        ("options used", f"{level.n_used} of {level.n_listed}"),
    ]


def dollars(value: float | None, digits: int) -> str:
    """Write an amount, or that it is missing."""
    return "unknown" if value is None else f"${value:,.{digits}f}"


def millions(value: float | None) -> str:
    """Write an amount in millions with its sign."""
    return "unknown" if value is None else f"{'−' if value < 0 else '+'}${abs(value) / 1e6:,.2f} M"


def figure(svg: str, caption: str) -> str:
    """Return a captioned picture, nothing when there is none."""
    return f"<figure>{svg}<figcaption>{caption}</figcaption></figure>" if svg else ""


def alerts(lines: Sequence[str]) -> str:
    """Return the alerts that fired."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines) or "<li>none</li>"
    return f"<h2>Alerts</h2><ul>{items}</ul>"


def run_section(report: Report) -> str:
    """Return what the run did, and how to look further."""
    rows = "".join(f"<tr><td>{escape(table)}</td><td>{count:,}</td></tr>" for table, count in report.rows.items())
    timing = ""
    if report.latency is not None:
        timing = (
            f"<p>From the receipt of an option's ticker to the exposure of its second in ClickHouse: median "
            f"{report.latency.p50_s:.2f} s, 99th percentile {report.latency.p99_s:.2f} s over {report.latency.updates:,} "
            "updates (a second is published when it is over, so up to 1 s is the grid itself).</p>"
        )
    return (
        f"<h2>This run</h2>{timing}<table><tr><th>table</th><th>rows</th></tr>{rows}</table>"
        f"<p>The database stays: <code>{EXAMPLE_QUERY}</code></p>"
    )
