"""`bench.png`: a bar for each stage, and beside it the naive form's."""

from pathlib import Path

from taste_agent.bench.report import Report

_FAST, _NAIVE, _INK = "#2563a8", "#d9b48a", "#22262b"
_ROW_INCHES, _WIDTH_INCHES = 0.36, 9.0
_SHOWN_MS = 0.01


def draw(report: Report, path: Path) -> None:
    """Write the bars of all figures in milliseconds, on a logarithmic scale."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figures = [figure for figure in report.figures if figure.unit == "ms" and figure.p50 > _SHOWN_MS]
    height = 1.6 + _ROW_INCHES * len(figures)
    drawing, axes = pyplot.subplots(figsize=(_WIDTH_INCHES, height), layout="constrained")
    for row, figure in enumerate(figures):
        label = f" {_short(figure.p50)} ms"
        if figure.naive is not None:
            axes.barh(row + 0.2, figure.naive, 0.36, color=_NAIVE)
            label += f", {figure.ratio:.1f}x" if figure.ratio is not None else ""
        axes.barh(row - 0.2 if figure.naive is not None else row, figure.p50, 0.36, color=_FAST)
        longest = max(figure.p50, figure.naive or 0)
        axes.text(longest, row, label, va="center", fontsize=8, color=_INK)
    axes.set_xscale("log")
    axes.set_xlim(left=_SHOWN_MS)
    axes.margins(x=0.2, y=0.01)
    axes.set_yticks(range(len(figures)), [figure.name for figure in figures], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("ms, median (light: naive form in the same run; factor: how much longer it takes)")
    title = f"{report.model['name']}, {report.model['dtype']}, on {report.machine['device']}"
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    drawing.savefig(path, dpi=130)
    pyplot.close(drawing)


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
