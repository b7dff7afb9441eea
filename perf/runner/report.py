"""One HTML page of a whole run: tables in the paper's form, plots, and where the figures were taken."""

from __future__ import annotations

import html
from pathlib import Path

from . import experiments, platform, results, tools
from .compare import Comparison

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #8886; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.paper, .context { color: #888; }
img { max-width: 100%; background: white; }
.wide { overflow-x: auto; }
"""


def write(
    tables: list[experiments.Table],
    comparisons: list[Comparison],
    outcomes: list[platform.Outcome],
    notes: list[str],
    directory: Path = tools.OUT,
    hovering: platform.Hovering | None = None,
) -> Path:
    """Writes `report.html` and its plots to `directory` and returns the page's path."""
    directory.mkdir(parents=True, exist_ok=True)
    parts = [f"<h1>clustercore, measured</h1>{_context()}"]
    parts += [f"<p>{html.escape(note)}</p>" for note in notes]
    for table in tables:
        parts.append(f"<h2>{html.escape(table.title)}</h2>")
        parts.append("<p>Milliseconds to the first / last byte, medians; below them p99 of the last byte.")
        parts.append("In grey the paper's mean.</p>")
        parts.append(_table(table))
        plot = plot_table(table, directory)
        parts.append(f'<img src="{plot}" alt="{html.escape(table.title)}">' if plot else "")
    if comparisons:
        parts.append("<h2>Proxies compared</h2>")
        parts += [_comparison(comparison) for comparison in comparisons]
    if outcomes:
        parts.append("<h2>Load that rises and falls</h2>")
        parts.append(_outcomes(outcomes))
    if hovering:
        parts.append("<h2>Load that hovers around a threshold</h2>")
        parts.append("<p>Back ends added and removed, by requests in flight on one core.</p>")
        parts.append(f"<pre>{html.escape(chr(10).join(hovering.lines()))}</pre>")
    page = directory / "report.html"
    head = f"<meta charset=utf-8><title>clustercore, measured</title><style>{STYLE}</style>"
    body = "\n".join(part for part in parts if part)
    page.write_text(f"<!doctype html><html lang=en>{head}{body}</html>\n")
    return page


def plot_table(table: experiments.Table, directory: Path) -> str | None:
    """Draws a table as PNG and SVG; None without matplotlib or without two rows to join."""
    try:
        import matplotlib
    except ImportError:
        return None
    if len(table.cells) < 2:
        return None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5))
    for column in table.columns:
        points = [(axis, table.median(axis, column, "last_p50_us")) for axis in sorted(table.cells)]
        points = [(axis, value / 1e3) for axis, value in points if value is not None]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", label=column)
    for index, column in enumerate(table.paper_columns):
        points = [(axis, values[index]) for axis, values in sorted(table.paper.items())]
        axes.plot(
            *zip(*points, strict=True),
            linestyle=":",
            color="grey",
            alpha=0.3 + 0.6 * index / len(table.paper_columns),
            label=f"paper: {column}",
        )
    axes.set(xlabel=table.axis, ylabel="ms to the last byte, median", yscale="log", title=table.title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", ncols=2)
    figure.tight_layout()
    for kind in ("png", "svg"):
        figure.savefig(directory / f"{table.name}.{kind}")
    pyplot.close(figure)
    return f"{table.name}.svg"


def _head(*names: str) -> str:
    return "<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in names) + "</tr>"


def _context() -> str:
    context = results.surroundings()
    text = ", ".join(f"{key}: {value}" for key, value in context.items())
    return f"<p class=context>{html.escape(text)}</p>"


def _table(table: experiments.Table) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    lines = [f"<div class=wide><table><tr><th>{html.escape(table.axis)}</th>{head}</tr>"]
    for axis in sorted(table.cells):
        cells = []
        for column in table.columns:
            first, last, p99 = (
                table.median(axis, column, name) for name in ("first_p50_us", "last_p50_us", "last_p99_us")
            )
            if first is None or last is None or p99 is None:
                cells.append(f"<td>{results.NOT_MEASURED}</td>")
                continue
            text = f"{first / 1e3:.2f} / {last / 1e3:.2f}<br><small>p99 {p99 / 1e3:.2f}"
            cpu = table.median(axis, column, "cpu_us")
            text += f", CPU {cpu:.0f} us</small>" if cpu is not None else "</small>"
            failed = table.median(axis, column, "failed")
            text += f"<br><small>{failed:g} failed</small>" if failed else ""
            if column in table.paper_columns and axis in table.paper:
                text += (
                    f"<br><span class=paper>{table.paper[axis][table.paper_columns.index(column)]:g}</span>"
                )
            cells.append(f"<td>{text}</td>")
        lines.append(f"<tr><td>{axis:g}</td>{''.join(cells)}</tr>")
    lines.append("</table></div>")
    lines += [
        f"<p>{html.escape(column)}: {results.NOT_MEASURED}: {html.escape(reason)}</p>"
        for column, reason in table.absent.items()
    ]
    return "".join(lines)


def _comparison(comparison: Comparison) -> str:
    rows = comparison.rows()
    lines = [
        f"<h3>{html.escape(comparison.case)}</h3><div class=wide><table>"
        + _head("proxy", "CPU us/request", "min-max", "requests/s", "p50 us", "p99 us", "ratio of CPU")
    ]
    for name in comparison.reports:
        own = {row.metric: row for row in rows if row.subject == name}
        cpu = own.get("cpu_us")
        ratios = ", ".join(
            f"{value:.2f} of {other}" for other, value in (cpu.ratio if cpu else {}).items() if other != name
        )
        cells = [
            html.escape(name),
            f"{cpu.median:.2f}" if cpu else "",
            f"{cpu.min:.2f}-{cpu.max:.2f}" if cpu else "",
        ]
        cells += [
            f"{own[key].median:.0f}" if key in own else "" for key in ("rate", "last_p50_us", "last_p99_us")
        ]
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in [*cells, ratios]) + "</tr>")
    for name, reason in comparison.absent.items():
        text = html.escape(f"{results.NOT_MEASURED}: {reason}")
        lines.append(f"<tr><td>{html.escape(name)}</td><td colspan=6>{text}</td></tr>")
    return "".join(lines) + "</table></div>"


def _outcomes(outcomes: list[platform.Outcome]) -> str:
    lines = [
        "<div class=wide><table>"
        + _head(
            *("policy", "requests", "errors", "adds", "removes", "add, ms without start", "start, ms"),
            *("p50 ms by stage", "p99 ms by stage"),
        )
    ]
    for outcome in outcomes:

        def number(value: float | None) -> str:
            return results.NOT_MEASURED if value is None else f"{value:.0f}"

        cells = [
            outcome.setting.describe(),
            str(outcome.requests),
            str(outcome.errors),
            str(outcome.adds),
            str(outcome.removes),
        ]
        cells += [number(outcome.add_ms_without_start), number(outcome.start_ms)]
        cells += [" ".join(f"{value:.1f}" for value in values) for values in (outcome.p50_ms, outcome.p99_ms)]
        lines.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    return "".join(lines) + "</table></div>"
