"use strict";
// Draws every figure from the inert JSON beside it. Colours of text and grid come from the style sheet.
const drawn = Array.from(document.querySelectorAll("script[data-plot]"), (source) => {
  const { data, layout } = JSON.parse(source.textContent);
  const target = document.getElementById(source.dataset.plot);
  const values = source.parentElement.querySelector("details.values");
  const fill = () => fillValues(values, JSON.parse(source.textContent));
  values.addEventListener("toggle", fill, { once: true });
  return Plotly.newPlot(target, data, layout, { responsive: true, displayModeBar: false, showTips: false });
});
Promise.all(drawn).then(() => document.documentElement.setAttribute("data-drawn", String(drawn.length)));
// A printed page has another width than the window.
const fit = () => document.querySelectorAll(".js-plotly-plot").forEach((plot) => Plotly.Plots.resize(plot));
window.addEventListener("beforeprint", fit);
window.addEventListener("afterprint", fit);
