"use strict";
// The values of a figure as a table, made when asked for: what a screen reader, or a reader who wants numbers, gets.
const MOST_VALUES = 500;
// Labels are written in Plotly's small HTML, so they are read as HTML, into a document that loads and runs nothing.
const plainText = (html) => new DOMParser().parseFromString(String(html ?? ""), "text/html").body.textContent;

function* valuesOf({ data, layout }) {
  const { tickvals, ticktext } = layout.xaxis ?? {};
  const place = (x) => {
    const at = tickvals && ticktext ? tickvals.indexOf(typeof x === "number" ? Math.round(x) : x) : -1;
    return at >= 0 && layout.xaxis.type !== "log" ? plainText(ticktext[at]) : x;
  };
  for (const trace of data) {
    if (trace.z) {
      for (const [r, row] of trace.z.entries()) {
        for (const [c, z] of row.entries()) {
          const said = trace.text?.[r]?.[c];
          const [x, y] = [trace.x?.[c] ?? c, trace.y?.[r] ?? r].map(plainText);
          yield [plainText(trace.name), x, y, plainText(String(said ?? z ?? "").replaceAll("<br>", " "))];
        }
      }
    } else {
      for (const [i, y] of (trace.y ?? []).entries()) {
        const half = trace.error_y?.visible ? trace.error_y.array?.[i] : null;
        const said = Array.isArray(trace.hovertext) ? trace.hovertext[i] : trace.hovertext;
        const lines = plainText(String(said ?? "").replaceAll("<br>", "; "));
        yield [plainText(trace.name), place(trace.x?.[i]), half ? `${y} ± ${half}` : y, lines];
      }
    }
  }
}

function fillValues(details, figure) {
  const all = Array.from(valuesOf(figure));
  const table = document.createElement("table");
  const count = all.length > MOST_VALUES ? `The first ${MOST_VALUES} of ${all.length} values.` : `${all.length} values.`;
  table.createCaption().textContent = count;
  const [x, y] = [figure.layout.xaxis, figure.layout.yaxis].map((axis) => plainText(axis?.title?.text));
  const heads = ["series", x || "x", y || "y", "in words"];
  table.createTHead().insertRow().append(...heads.map((text) => {
    const th = Object.assign(document.createElement("th"), { textContent: text, scope: "col", className: "t" });
    return th;
  }));
  const body = table.createTBody();
  for (const cells of all.slice(0, MOST_VALUES)) {
    const row = body.insertRow();
    for (const cell of cells) Object.assign(row.insertCell(), { textContent: String(cell), className: "t" });
  }
  const box = Object.assign(document.createElement("div"), { className: "scroll", tabIndex: 0 });
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", details.querySelector("summary").textContent);
  box.append(table);
  details.append(box);
}
