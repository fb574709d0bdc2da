// Figures: each .plot says by data-figure which of page.figures it shows. A form .axes beside it
// chooses among several, and whether their axes are logarithmic.

const LINEAR = { x: { type: "linear", tickmode: "auto", autorange: true },
  y: { type: "linear", tickmode: "auto", autorange: true, tickformat: ".1~%" } };

// The figure with linear axes where `linear`; annotations stand at logarithms on a logarithmic one.
function withAxes({ data, layout }, linear) {
  const made = structuredClone(layout);
  if (linear) {
    Object.assign(made.xaxis, LINEAR.x);
    Object.assign(made.yaxis, LINEAR.y);
    for (const note of made.annotations ?? []) {
      if (note.xref !== "paper") Object.assign(note, { x: 10 ** note.x, y: 10 ** note.y });
    }
  }
  return [data, made];
}

function hasKeys({ data }) {
  return data.some((trace) => (trace.customdata ?? []).some((key) => Object.hasOwn(page.networks, key)));
}

function configOf(figure) {
  const [buttons] = page.config.modeBarButtons;
  const more = hasKeys(figure) ? ["select2d", "lasso2d"] : [];
  return { ...page.config, modeBarButtons: [[...buttons, ...more]] };
}

// Of each trace the points of these keys; null shows all of them.
function selectedPoints(plot, keys) {
  return plot.data.map(({ customdata }) => customdata && keys
    ? customdata.flatMap((key, i) => (keys.has(key) ? [i] : [])) : null);
}

function listen(plot) {
  const keysOf = (points) => points.map((point) => point.customdata).filter((key) => Object.hasOwn(page.networks, key));
  plot.on("plotly_click", ({ points }) => {
    const [key] = keysOf(points);
    if (key) location.hash = key;
  });
  plot.on("plotly_selected", (event) => {
    if (!event) return;
    const keys = keysOf(event.points);
    selection.choose(keys.length ? new Set(keys) : null, plot);
  });
  plot.on("plotly_deselect", () => selection.choose(null, plot));
  selection.onChange(plot, (keys) => {
    if (hasKeys(plot)) Plotly.restyle(plot, { selectedpoints: selectedPoints(plot, keys) });
  });
}

function draw(holder) {
  const plot = holder.appendChild(document.createElement("div"));
  const axes = holder.parentElement.querySelector(":scope > .axes");
  let figure = page.figures[holder.dataset.figure];
  Plotly.newPlot(plot, ...withAxes(figure, false), configOf(figure));
  listen(plot);
  new ResizeObserver(() => Plotly.Plots.resize(plot)).observe(holder);
  axes?.addEventListener("change", () => {
    const { choice, scale } = axes.elements;
    figure = page.figures[choice?.value ?? holder.dataset.figure];
    Plotly.react(plot, ...withAxes(figure, scale?.value === "linear"), configOf(figure));
    if (selection.keys && hasKeys(plot)) {
      Plotly.restyle(plot, { selectedpoints: selectedPoints(plot, selection.keys) });
    }
    const note = holder.parentElement.querySelector(":scope > .note");
    if (note && choice) note.textContent = choice.selectedOptions[0].dataset.note;
  });
  return plot;
}

const plotly = await unpacked("plotly");
if (plotly && page.figures.length) {
  document.head.append(element("script", plotly));
  const plots = [...document.querySelectorAll(".plot")].map(draw);
  // Otherwise figures keep the width of the screen on paper.
  window.addEventListener("beforeprint", () => plots.forEach((plot) => Plotly.Plots.resize(plot)));
}
