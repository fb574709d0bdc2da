// Drawings of networks: to scale, where their costs lie, how they trained.

const PARTS = [["MACs", "macs"], ["params", "params"], ["activations", "activations"], ["latency (ms), estimated", "latency"]];

// The costs that are known of every stage of these networks: latency only where it was measured.
function partsOf(networks) {
  return PARTS.filter(([, part]) => networks.every((each) => stagesOf(each).every((stage) => Number.isFinite(stage[part]))));
}

// The stages as {name, channels, height, width, macs, params, activations, latency, before: channels}.
function stagesOf(network) {
  let before = 0;
  return network.stages.map(([name, channels, height, width, macs, params, activations, share]) => {
    const latency = share * (network.costs?.latency_ms ?? NaN);
    const stage = { name, channels, height, width, macs, params, activations, latency, before };
    before = channels;
    return stage;
  });
}

// To scale: a column a layer, as high as it has channels; what a layer adds is darker.
function drawing(network, most) {
  const stages = stagesOf(network).filter((stage) => stage.name !== "classifier");
  const high = 150, room = 34;
  const layers = network.layers.reduce((sum, each) => sum + each, 0);
  const step = Math.max(3, Math.min(26, 560 / (layers + 2 * stages.length)));
  const top = most ?? Math.max(...stages.map((stage) => stage.channels));
  const scale = high / top;
  const svg = shape("svg", { class: "drawing", role: "img", "aria-label":
    `${network.name}: ${stages.map((s) => `${s.name} to ${s.channels} channels at ${s.height}x${s.width}`).join(", ")}` });
  let x = 2, block = 0;
  const column = (from, to, wide, kind) => {
    const y = (channels) => high + 4 - channels * scale;
    svg.append(shape("polygon", { class: kind, points:
      `${x},${high + 4} ${x},${y(from)} ${x + wide},${y(to)} ${x + wide},${high + 4}` }));
    x += wide;
  };
  for (const stage of stages) {
    const start = x;
    if (stage.name.startsWith("denseblock")) {
      const k = network.growth[block], count = network.layers[block];
      for (let layer = 0; layer < count; layer++) {
        const had = stage.before + layer * k;
        const y = high + 4 - (had + k) * scale;
        svg.append(shape("rect", { class: "had", x, y: high + 4 - had * scale, width: step - 1, height: had * scale }));
        svg.append(shape("rect", { class: "added", x, y, width: step - 1, height: k * scale }));
        x += step;
      }
      const middle = (start + x) / 2;
      svg.append(shape("text", { x: middle, y: high + 18 }, `k=${k}`));
      svg.append(shape("text", { x: middle, y: high + 31 }, `${stage.height}×${stage.width}`));
      block += 1;
    } else {
      column(stage.before || stage.channels, stage.channels, step, stage.name === "stem" ? "stem" : "narrowed");
    }
    x += 3;
  }
  svg.append(shape("text", { x: x + 2, y: Math.max(14, high + 8 - stages.at(-1).channels * scale), class: "end" }, `${stages.at(-1).channels} channels`));
  svg.setAttribute("viewBox", `0 0 ${x + 92} ${high + room}`);
  svg.style.maxWidth = `${x + 92}px`;
  return svg;
}

// Several, to one scale; the widest is at most so wide.
function drawings(networks, wide) {
  const most = Math.max(...networks.flatMap((each) => stagesOf(each).slice(0, -1).map((stage) => stage.channels)));
  const drawn = networks.map((each) => drawing(each, most));
  const widest = Math.max(...drawn.map((svg) => svg.viewBox.baseVal.width));
  for (const svg of drawn) svg.style.width = `${svg.viewBox.baseVal.width * Math.min(1, wide / widest)}px`;
  return drawn;
}

function stageCosts(network) {
  const stages = stagesOf(network), parts = partsOf([network]);
  const table = element("table", undefined, { class: "stages" });
  const head = table.createTHead().insertRow();
  for (const label of ["stage", "output", ...parts.map(([label]) => label)]) {
    head.append(element("th", label, { scope: "col" }));
  }
  const body = table.createTBody();
  for (const stage of stages) {
    const row = body.insertRow();
    row.append(element("th", stage.name, { scope: "row" }));
    row.append(element("td", stage.name === "classifier" ? "" : `${stage.channels} × ${stage.height}×${stage.width}`));
    for (const [, part] of parts) {
      const whole = stages.reduce((sum, each) => sum + each[part], 0);
      const cell = element("td", undefined, { class: "bar" });
      const bar = element("span", undefined, { "aria-hidden": "true" });
      bar.style.width = `${(100 * stage[part]) / whole}%`;
      cell.append(bar, element("small", `${short(stage[part])}, ${Math.round((100 * stage[part]) / whole)} %`));
      row.append(cell);
    }
  }
  return table;
}

// Of some stage and kind of cost how large it is in each of these networks, as bars on one scale.
function stageBars(networks, part) {
  const stages = networks.map((network) => new Map(stagesOf(network).map((stage) => [stage.name, stage[part]])));
  const names = [...new Set(stages.flatMap((each) => [...each.keys()]))].sort(byDepth);
  const most = Math.max(...stages.flatMap((each) => [...each.values()]));
  const table = element("table", undefined, { class: "stages paired" });
  const body = table.createTBody();
  for (const name of names) {
    const row = body.insertRow(), cell = element("td");
    row.append(element("th", name, { scope: "row" }), cell);
    stages.forEach((each, i) => {
      const line = element("div", undefined, { class: "bar" });
      const bar = element("span", undefined, { "aria-hidden": "true" });
      bar.style.width = `${(75 * (each.get(name) ?? 0)) / most}%`;
      bar.style.background = page.colours[i];
      line.append(bar, element("small", each.has(name) ? short(each.get(name)) : "–"));
      line.title = networks[i].name;
      cell.append(line);
    });
  }
  return table;
}

// denseblock1, transition1, denseblock2, ..., between the stem and the classifier.
function byDepth(one, other) {
  const place = (name) => {
    if (name === "stem") return -1;
    if (name === "classifier") return Infinity;
    return 2 * Number(name.replace(/\D/g, "")) + name.startsWith("transition");
  };
  return place(one) - place(other) || one.localeCompare(other);
}

// Validation error after each epoch, on a logarithmic axis; null where none has two epochs.
function curves(networks) {
  const known = networks.map(({ name, curve }, i) => ({ name, colour: page.colours[i],
    points: curve.filter(([, error]) => error > 0) })).filter(({ points }) => points.length > 1);
  if (!known.length) return null;
  const wide = 420, high = 130, all = known.flatMap(({ points }) => points);
  const logs = all.map(([, error]) => Math.log(error));
  const low = Math.min(...logs), top = Math.max(...logs), last = Math.max(...all.map(([epoch]) => epoch));
  const place = ([epoch, error]) => [
    40 + ((epoch - 1) / Math.max(1, last - 1)) * (wide - 100),
    14 + ((top - Math.log(error)) / (top - low || 1)) * (high - 44)];
  const told = known.map(({ name, points }) => `${name}: ${points.map(([epoch, error]) => `${percent(error)} after epoch ${epoch}`).join(", ")}`);
  const svg = shape("svg", { viewBox: `0 0 ${wide} ${high}`, class: "curve", role: "img", "aria-label": told.join("; ") });
  for (const { points, colour } of known) {
    const line = shape("polyline", { points: points.map((point) => place(point).join(",")).join(" ") });
    line.style.stroke = colour;
    svg.append(line);
    for (const [point, above] of [[points[0], known.length === 1], [points.at(-1), true]]) {
      const [x, y] = place(point);
      const dot = shape("circle", { cx: x, cy: y, r: 3 });
      dot.style.fill = colour;
      svg.append(dot);
      if (above) svg.append(shape("text", { x: x + 6, y: y - 5 }, percent(point[1])));
    }
  }
  svg.append(shape("text", { x: 40, y: high - 8, class: "end" }, "epoch 1"));
  svg.append(shape("text", { x: wide - 60, y: high - 8 }, `epoch ${last}`));
  return svg;
}
