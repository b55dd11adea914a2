"""Time and memory against the size of a pack and the number of trials (docs/performance.png).

python benchmarks/scaling.py
python docs/performance.py results/benchmarks/scaling.parquet docs/performance.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import plotly.graph_objects as go
import pyarrow.parquet as pq
from plotly.subplots import make_subplots
from schedule import COLOURS, HEIGHT, WIDTH, picture

NAMES = {"tiny": "digits, MLP 64-128-64", "mlp": "MNIST, MLP 784-512-256", "study": "a study, ten steps a trial"}
PANELS = (
    ("CPU ms per member-step", "milliseconds", ("tiny", "mlp")),
    ("MB that a pack adds", "megabytes", ("tiny", "mlp")),
    ("CPU ms per trial", "milliseconds", ("study",)),
    ("MB at most, whole process", "megabytes", ("study",)),
)


def figure(rows: list[dict[str, float | str]]) -> go.Figure:
    made = make_subplots(1, 4, subplot_titles=[title for title, _, _ in PANELS], horizontal_spacing=0.06)
    colours = dict(zip(NAMES, (*COLOURS, "#444444"), strict=True))
    for column, (_, field, kinds) in enumerate(PANELS, start=1):
        for kind in kinds:
            points = [(row["x"], row[field]) for row in rows if row["what"] == kind]
            line = {"line": {"color": colours[kind], "width": 2}, "mode": "lines+markers", "name": NAMES[kind]}
            shown = field == "milliseconds"
            x, y = zip(*points, strict=True) if points else ((), ())
            made.add_trace(go.Scatter(x=x, y=y, showlegend=shown, **line), 1, column)
    for column, noun in ((1, "members of a pack"), (2, "members of a pack"), (3, "trials"), (4, "trials")):
        ticks = sorted({row["x"] for row in rows if (row["what"] == "study") == (column > 2)})
        made.update_xaxes(type="log", title=noun, tickvals=ticks, col=column)
        made.update_yaxes(rangemode="tozero", col=column)
    made.update_yaxes(type="log", tickvals=[1, 2, 5, 10, 20, 50], col=1)
    made.update_yaxes(type="log", dtick=1, col=2)
    made.update_layout(
        width=WIDTH, height=HEIGHT, template="plotly_white", font_size=13,
        legend={"orientation": "h", "y": -0.25}, margin={"l": 50, "r": 20, "t": 40, "b": 90},
    )  # fmt: skip
    return made


if __name__ == "__main__":
    picture(figure(pq.read_table(sys.argv[1]).to_pylist()), Path(sys.argv[2]))
