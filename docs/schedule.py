"""Makespan and idle share against the number of workers, simulated from measured costs (docs/schedule.png).

    vmi calibrate sweeps/paper.py --scale full --out calibration.json
    vmi calibrate sweeps/lambda.py --out calibration.json
    python docs/schedule.py calibration.json docs/schedule.png

Draws what was measured last on a GPU where the file has one, else on a CPU, where a worker is one core.
"""

from __future__ import annotations

import io
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import plotly.graph_objects as go
from PIL import Image
from playwright.sync_api import sync_playwright
from plotly.subplots import make_subplots

from vmi.cost.forecast import Extent, forecast
from vmi.cost.measurements import Costs, costs_on, read
from vmi.study.loading import load
from vmi.study.overrides import override
from vmi.study.space import choice
from vmi.study.study import Study

SWEEPS = Path(__file__).parents[1] / "sweeps"
SHOWN = (1, 10, 30, 100, 300, 1000)
WORKERS = tuple(sorted({*SHOWN, *(round(10 ** (i / 12)) for i in range(37))}))
WIDTH, HEIGHT = 1180, 430
COLOURS = ("#1f5fa8", "#c8561b")


def studies(costs: Costs) -> dict[str, Study]:
    """The paper at the largest scale that was measured, and a grid of 10,000 short trials."""
    base = load(SWEEPS / "lambda.py")
    weights = tuple(i / 8 for i in range(100))
    grid = replace(base, space={"mi_weight": choice(*weights), "entropy_weight": choice(0, 1)}, seeds=range(50))
    scales = {scale: override(load(SWEEPS / "paper.py"), scale=scale) for scale in ("full", "laptop")}
    scale = next((n for n, s in scales.items() if forecast(Extent(s, (), 16), costs, 1)), "full")
    return {f"sweeps/paper.py --scale {scale} (60 trials)": scales[scale], "λ grid on digits (10,000 trials)": grid}


def figure(costs: Costs) -> go.Figure:
    noun = "GPUs" if costs.device == "cuda" else "workers (one CPU core each)"
    made = make_subplots(
        1,
        2,
        subplot_titles=("Makespan, hours", "Idle share of what is held (dotted: with start-up)"),
        horizontal_spacing=0.09,
    )
    for colour, (name, study) in zip(COLOURS, studies(costs).items(), strict=True):
        extent = Extent(study, (), 16)
        found = [forecast(extent, costs, workers) for workers in WORKERS]
        schedules = [f.schedule for f in found if f is not None]
        if not schedules:
            sys.exit(f"{name}: not measured on {costs.hardware}")
        line = {"line": {"color": colour, "width": 2}, "marker": {"size": 4}, "mode": "lines+markers", "name": name}
        hours, idle = [s.makespan / 3600 for s in schedules], [s.idle_share for s in schedules]
        made.add_trace(go.Scatter(x=WORKERS, y=hours, **line), 1, 1)
        made.add_trace(go.Scatter(x=WORKERS, y=idle, showlegend=False, **line), 1, 2)
        lost = [(s.idle + s.overhead) / s.held for s in schedules]
        dotted = {"mode": "lines", "line": {"color": colour, "width": 2, "dash": "dot"}}
        made.add_trace(go.Scatter(x=WORKERS, y=lost, showlegend=False, **dotted), 1, 2)
        print(f"{name}, {costs.hardware}, {costs.measured}")
        for workers in SHOWN:
            one = schedules[WORKERS.index(workers)]
            took = f"{one.makespan / 3600:10.3f} h, idle {one.idle_share:.0%}, start-up {one.overhead / one.held:.0%}"
            print(f"  {workers:>5} workers: {took}, used {one.used}")
    made.update_xaxes(type="log", title=noun, dtick=1)
    made.update_yaxes(type="log", col=1, dtick=1)
    made.update_yaxes(range=[-0.02, 1.02], tickformat=".0%", col=2)
    made.update_layout(
        width=WIDTH, height=HEIGHT, template="plotly_white", font_size=14,
        legend={"orientation": "h", "y": -0.25}, margin={"l": 60, "r": 20, "t": 40, "b": 90},
    )  # fmt: skip
    return made


def picture(made: go.Figure, target: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=2)
        page.set_content(made.to_html(include_plotlyjs=True))
        page.wait_for_selector("svg.main-svg")
        shot = Image.open(io.BytesIO(page.query_selector(".plotly-graph-div").screenshot())).convert("RGB")
        browser.close()
    shot.quantize(64).save(target, optimize=True)


if __name__ == "__main__":
    entries = read(Path(sys.argv[1]))
    measured = costs_on(entries, "cuda", None) or costs_on(entries, "cpu", None)
    if measured is None:
        sys.exit(f"{sys.argv[1]}: nothing was measured; see the top of this file")
    picture(figure(measured), Path(sys.argv[2]))
