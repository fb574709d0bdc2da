// Parallel coordinates: a line a network through its choices, costs and error; the lower its error,
// the darker. An area dragged along an axis selects the networks that pass through it. Drawn here, as
// plotly.js makes code for the graphics card as it goes, which the page's policy forbids.

function parallelCoordinates(holder) {
  const HIGH = 300, TOP = 46, SIDE = 70;
  const known = Object.entries(page.networks).filter(([, network]) => network.error !== null);
  const axes = parallelAxes(known.map(([, network]) => network));
  if (known.length < 2 || axes.length < 2) return holder.closest("section").remove();
  const STEP = Math.max(110, Math.floor((holder.clientWidth - 2 * SIDE - 10) / (axes.length - 1)));
  const wide = 2 * SIDE + STEP * (axes.length - 1);
  const canvas = element("canvas", undefined, { "aria-hidden": "true" });
  const svg = shape("svg", { viewBox: `0 0 ${wide} ${HIGH + TOP + 20}`, width: wide, height: HIGH + TOP + 20, role: "img",
    "aria-label": `${counted(known.length, "network")} over ${axes.map(({ label }) => label).join(", ")}` });
  holder.append(canvas, svg);
  const x = (i) => SIDE + i * STEP, y = (share) => TOP + (1 - share) * HIGH;
  const places = known.map((_, n) => axes.map((axis) => axis.share[n]));
  const errors = axes.at(-1).share, brushes = axes.map(() => null);

  function paint(keys) {
    const ratio = window.devicePixelRatio || 1;
    Object.assign(canvas, { width: wide * ratio, height: (HIGH + TOP + 20) * ratio });
    Object.assign(canvas.style, { width: `${wide}px`, height: `${HIGH + TOP + 20}px` });
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const order = known.map((_, n) => n).sort((a, b) => errors[b] - errors[a]);
    for (const n of order) {
      const chosen = !keys || keys.has(known[n][0]);
      pen.strokeStyle = chosen ? `hsl(${205 + 10 * errors[n]} ${75 - 55 * errors[n]}% ${42 + 25 * errors[n]}%)` : "rgb(140 140 140)";
      pen.globalAlpha = chosen ? Math.max(0.15, Math.min(0.8, 60 / known.length)) + 0.2 * (1 - errors[n]) : 0.06;
      pen.lineWidth = chosen && errors[n] < 0.1 ? 2 : 1;
      pen.beginPath();
      places[n].forEach((share, i) => pen[i ? "lineTo" : "moveTo"](x(i), y(share)));
      pen.stroke();
    }
  }

  function select() {
    const chosen = known.filter((_, n) => brushes.every((brush, i) =>
      !brush || (places[n][i] >= brush[0] && places[n][i] <= brush[1])));
    const keys = brushes.some(Boolean) ? new Set(chosen.map(([key]) => key)) : null;
    selection.choose(keys, holder);
    paint(keys);
  }

  axes.forEach((axis, i) => {
    svg.append(shape("line", { x1: x(i), x2: x(i), y1: TOP, y2: TOP + HIGH, class: "axis" }));
    svg.append(shape("text", { x: x(i), y: 14, class: "label" }, axis.label));
    for (const [share, text] of axis.ticks) svg.append(shape("text", { x: x(i) + 5, y: y(share) + 4 }, text));
    const area = shape("rect", { x: x(i) - 9, width: 18, y: 0, height: 0, class: "brush" });
    const grip = shape("rect", { x: x(i) - 22, width: 44, y: TOP - 6, height: HIGH + 12, class: "grip" });
    svg.append(area, grip);
    const shareAt = (event) => {
      const box = svg.getBoundingClientRect();
      const down = ((event.clientY - box.top) * (HIGH + TOP + 20)) / box.height;
      return Math.min(1.03, Math.max(-0.03, 1 - (down - TOP) / HIGH));
    };
    let from = null;
    grip.addEventListener("pointerdown", (event) => {
      from = shareAt(event);
      grip.setPointerCapture(event.pointerId);
    });
    grip.addEventListener("pointermove", (event) => {
      if (from === null) return;
      brushes[i] = [Math.min(from, shareAt(event)), Math.max(from, shareAt(event))];
      area.setAttribute("y", y(brushes[i][1]));
      area.setAttribute("height", y(brushes[i][0]) - y(brushes[i][1]));
    });
    grip.addEventListener("pointerup", (event) => {
      if (Math.abs(shareAt(event) - from) < 0.015) {
        brushes[i] = null; // a click
        area.setAttribute("height", 0);
      }
      from = null;
      select();
    });
    axis.clear = () => {
      brushes[i] = null;
      area.setAttribute("height", 0);
    };
  });
  selection.onChange(holder, (keys) => {
    axes.forEach((axis) => axis.clear());
    paint(keys);
  });
  paint(null);
}

// The dimensions that differ, the MACs and params, and last the error: {label, share: of each network
// its place from 0 to 1, ticks: [place, text]}.
function parallelAxes(shown) {
  const axes = [];
  for (const label of Object.keys(shown[0]?.dimensions ?? {})) {
    const texts = shown.map(({ dimensions }) => dimensions[label]);
    const values = [...new Set(texts)].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
    if (values.length < 2) continue;
    const share = new Map(values.map((value, i) => [value, i / (values.length - 1)]));
    const every = Math.ceil(values.length / 14);
    axes.push({ label, share: texts.map((text) => share.get(text)),
      ticks: values.filter((_, i) => i % every === 0).map((value) => [share.get(value), value]) });
  }
  for (const [label, of, text] of [["MACs", ({ costs }) => costs.macs, short], ["params", ({ costs }) => costs.params, short],
    ["error", ({ error }) => error, percent]]) {
    const logs = shown.map((each) => Math.log(Math.max(of(each), 1e-6)));
    const low = Math.min(...logs), span = Math.max(...logs) - low || 1;
    axes.push({ label, share: logs.map((log) => (log - low) / span),
      ticks: [0, 0.25, 0.5, 0.75, 1].map((at) => [at, text(Math.exp(low + at * span))]) });
  }
  return axes;
}

document.querySelectorAll(".parallel").forEach(parallelCoordinates);
