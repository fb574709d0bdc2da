"use strict";

// Sorting and filtering of the table of candidates.
(function () {
  const table = document.getElementById("table");
  if (!table) return;
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  const rows = [...body.rows].map((row) => ({ row, text: row.textContent.toLowerCase() }));

  function sortKey(row, column) {
    const cell = row.cells[column];
    if (headers[column].classList.contains("number")) {
      return cell.dataset.sort === undefined ? null : Number(cell.dataset.sort);
    }
    return (cell.dataset.sort ?? cell.textContent).trim().toLowerCase() || null;
  }

  function compare(a, b) {
    return typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
  }

  function sortBy(column) {
    const header = headers[column];
    const down = header.getAttribute("aria-sort") === "ascending";
    headers.forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keyed = rows.map((entry) => ({ entry, key: sortKey(entry.row, column) }));
    // What is missing stays at the end in both directions.
    keyed.sort((a, b) => {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
      return down ? compare(b.key, a.key) : compare(a.key, b.key);
    });
    body.append(...keyed.map(({ entry }) => entry.row));
  }

  const text = document.getElementById("filter-text");
  const state = document.getElementById("filter-state");
  const front = document.getElementById("filter-front");
  const shown = document.getElementById("shown");

  function filter() {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { row, text: content } of rows) {
      const fits =
        words.every((word) => content.includes(word)) &&
        (!state.value || row.dataset.state === state.value) &&
        (!front.checked || "front" in row.dataset);
      row.hidden = !fits;
      count += fits;
    }
    const all = `${rows.length} candidate${rows.length === 1 ? "" : "s"}`;
    shown.textContent = count === rows.length ? all : `${count} of ${all}`;
  }

  headers.forEach((header, column) =>
    header.querySelector("button").addEventListener("click", () => sortBy(column))
  );
  text.addEventListener("input", filter);
  state.addEventListener("change", filter);
  front.addEventListener("change", filter);
  filter();
})();

// Copy buttons; the older way serves browsers that refuse the clipboard to local files.
(function () {
  function select(node) {
    const range = document.createRange();
    range.selectNodeContents(node);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  }

  async function copy(button) {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      select(code);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }

  document.querySelectorAll(".copy").forEach((button) =>
    button.addEventListener("click", () => copy(button))
  );
})();

// Figures: each .plot holds its data as JSON.
(function () {
  const plots = [...document.querySelectorAll(".plot")].map((holder) => {
    const { data, layout } = JSON.parse(holder.querySelector("script").textContent);
    const plot = holder.appendChild(document.createElement("div"));
    Plotly.newPlot(plot, data, layout, PLOT_CONFIG);
    new ResizeObserver(() => Plotly.Plots.resize(plot)).observe(holder);
    return plot;
  });
  // Otherwise figures keep the width of the screen on paper.
  window.addEventListener("beforeprint", () => plots.forEach((plot) => Plotly.Plots.resize(plot)));
})();

// One network, opened by its key in the address: #KEY. All is drawn from the JSON in #networks.
(function () {
  const source = document.getElementById("networks");
  if (!source) return;
  const networks = JSON.parse(source.textContent);
  const dialog = document.getElementById("network");
  const SVG = document.getElementById("no-drawing").namespaceURI;

  function element(name, text, attributes = {}) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function shape(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function short(value) {
    const [scale, prefix] = [[1e9, " G"], [1e6, " M"], [1e3, " k"], [1, ""]].find(
      ([each]) => value >= each) ?? [1, ""];
    return `${Number((value / scale).toPrecision(3))}${prefix}`;
  }

  // The stages as {name, channels, height, width, macs, params, activations, before: channels}.
  function stagesOf(network) {
    let before = 0;
    return network.stages.map(([name, channels, height, width, macs, params, activations]) => {
      const stage = { name, channels, height, width, macs, params, activations, before };
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
  function drawings(shown, wide) {
    const most = Math.max(...shown.flatMap((each) => stagesOf(each).slice(0, -1).map((stage) => stage.channels)));
    const drawn = shown.map((each) => drawing(each, most));
    const widest = Math.max(...drawn.map((svg) => svg.viewBox.baseVal.width));
    for (const svg of drawn) svg.style.width = `${svg.viewBox.baseVal.width * Math.min(1, wide / widest)}px`;
    return drawn;
  }

  // A page that opens no network draws each where it asks for it.
  const places = [...document.querySelectorAll("[data-draws]")];
  const drawn = drawings(places.map((place) => networks[place.dataset.draws]), 560);
  places.forEach((place, i) => place.append(drawn[i]));
  if (!dialog) return;

  function costs(network) {
    const stages = stagesOf(network);
    const parts = [["MACs", "macs"], ["params", "params"], ["activations", "activations"]];
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

  function curve(network) {
    const points = network.curve.filter(([, error]) => error > 0);
    if (points.length < 2) return null;
    const wide = 420, high = 120;
    const logs = points.map(([, error]) => Math.log(error));
    const [low, top] = [Math.min(...logs), Math.max(...logs)];
    const last = points.at(-1)[0];
    const place = ([epoch, error]) => [
      40 + ((epoch - 1) / Math.max(1, last - 1)) * (wide - 60),
      12 + ((top - Math.log(error)) / (top - low || 1)) * (high - 40)];
    const told = `${points.map(([epoch, error]) => `${(100 * error).toFixed(2)} % after epoch ${epoch}`).join(", ")}`;
    const svg = shape("svg", { viewBox: `0 0 ${wide} ${high}`, class: "curve", role: "img", "aria-label": told });
    svg.append(shape("polyline", { points: points.map((p) => place(p).join(",")).join(" ") }));
    for (const point of [points[0], points.at(-1)]) {
      const [x, y] = place(point);
      svg.append(shape("circle", { cx: x, cy: y, r: 3 }));
      svg.append(shape("text", { x: point === points[0] ? x + 8 : x, y: point === points[0] ? y + 2 : y - 8, class: point === points[0] ? "first" : "last" }, `${(100 * point[1]).toFixed(1)} %`));
      svg.append(shape("text", { x, y: high - 6, class: point === points[0] ? "first" : "last" }, `epoch ${point[0]}`));
    }
    return svg;
  }

  // Trained networks that differ in one dimension alone.
  function neighbours(key) {
    const own = networks[key], found = [];
    for (const [other, each] of Object.entries(networks)) {
      if (other === key || each.error === null) continue;
      const changed = Object.keys(own.dimensions).filter((d) => own.dimensions[d] !== each.dimensions[d]);
      if (changed.length === 1) found.push([changed[0], other, each]);
    }
    return found.sort(([a], [b]) => a.localeCompare(b)).slice(0, 12);
  }

  function signed(value, digits) {
    return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
  }

  function near(key) {
    const own = networks[key], list = neighbours(key);
    if (own.error === null || !list.length) return null;
    const table = element("table", undefined, { class: "near" });
    const head = table.createTHead().insertRow();
    for (const label of ["one change", "MACs", "params", "expected error"]) head.append(element("th", label, { scope: "col" }));
    const body = table.createTBody();
    for (const [dimension, other, each] of list) {
      const row = body.insertRow();
      const cell = element("th", undefined, { scope: "row" });
      cell.append(element("a", `${dimension} ${own.dimensions[dimension]} → ${each.dimensions[dimension]}`, { href: `#${other}` }));
      row.append(cell);
      for (const cost of ["macs", "params"]) {
        row.append(element("td", `${signed(100 * (each.costs[cost] / own.costs[cost] - 1), 0)} %`, { class: "number" }));
      }
      row.append(element("td", `${signed(100 * (each.error - own.error), 2)} points`, { class: "number" }));
    }
    return table;
  }

  function list(pairs) {
    const made = element("dl");
    for (const [label, text] of pairs) {
      const row = element("div");
      row.append(element("dt", label), element("dd", text));
      made.append(row);
    }
    return made;
  }

  function open(key) {
    const network = networks[key], parts = document.createDocumentFragment();
    const section = (title, content) => {
      if (content) parts.append(element("h3", title), content);
    };
    document.getElementById("network-name").textContent = network.name;
    document.getElementById("network-key").textContent = key;
    section("To scale: a column a layer, as high as it has channels", drawing(network));
    section("Errors and costs", list(network.figures));
    section("Where the costs lie", costs(network));
    section("Validation error while it trained", curve(network));
    section("Trained networks that differ in one thing", near(key));
    section("Shape", list(Object.entries(network.dimensions)));
    const commands = element("ul", undefined, { class: "commands" });
    for (const command of network.commands) {
      const item = element("li");
      item.append(element("code", command));
      commands.append(item);
    }
    section("Take it further", commands);
    document.getElementById("network-body").replaceChildren(parts);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  }

  const MOST = 6, chosen = [];

  // Of the error of one network less that of another: mean and ends of 90 %, in points, and the
  // probability that it is below 0; null where they were not predicted together.
  function difference(one, other) {
    if (!one.draws || !other.draws) return null;
    const all = one.draws.map((each, i) => (each - other.draws[i]) / 1e3).sort((a, b) => a - b);
    const at = (share) => all[Math.round(share * (all.length - 1))];
    return { mean: all.reduce((a, b) => a + b, 0) / all.length, low: at(0.05), high: at(0.95),
      better: all.filter((each) => each < 0).length / all.length };
  }

  function compare(keys) {
    const shown = keys.map((key) => networks[key]), [first] = shown;
    const drawn = drawings(shown, 240);
    const table = element("table", undefined, { class: "compare" });
    const head = table.createTHead().insertRow();
    head.append(element("td"));
    keys.forEach((key, i) => {
      const cell = element("th", undefined, { scope: "col" });
      cell.append(element("a", shown[i].name, { href: `#${key}` }), drawn[i]);
      head.append(cell);
    });
    const body = table.createTBody();
    const row = (label, texts) => {
      if (texts.every((text) => !text)) return;
      const made = body.insertRow();
      made.append(element("th", label, { scope: "row" }));
      for (const text of texts) made.append(element("td", text || "–"));
    };
    row("expected error", shown.map((each) => (each.error === null ? "" : `${(100 * each.error).toFixed(2)} %`)));
    const apart = shown.map((each) => (each === first ? null : difference(each, first)));
    row("difference from the first", apart.map((d) => d && `${signed(d.mean, 2)} points (${signed(d.low, 2)} to ${signed(d.high, 2)})`));
    row("better than the first", apart.map((d) => d && `with probability ${d.better.toFixed(2)}`));
    for (const [label, cost] of [["MACs", "macs"], ["params", "params"], ["activations", "activations"], ["training memory (B)", "train_bytes"], ["latency (ms)", "latency_ms"]]) {
      row(label, shown.map(({ costs }) => costs[cost] === null ? "" :
        `${short(costs[cost])}${costs === first.costs || !first.costs[cost] ? "" : ` (× ${(costs[cost] / first.costs[cost]).toFixed(2)})`}`));
    }
    for (const dimension of Object.keys(first.dimensions)) {
      const values = shown.map((each) => each.dimensions[dimension]);
      if (new Set(values).size > 1) row(dimension, values);
    }
    return table;
  }

  function openComparison(keys) {
    const parts = document.createDocumentFragment();
    const holder = element("div", undefined, { class: "scroll" });
    holder.append(compare(keys));
    parts.append(holder, element("p", "Errors are predicted; the intervals hold 90 % on the images that were measured, for seeds and the model. Drawn to one scale.", { class: "note" }));
    document.getElementById("network-name").textContent = `${keys.length} networks compared`;
    document.getElementById("network-key").textContent = "";
    add.hidden = true;
    document.getElementById("network-body").replaceChildren(parts);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  }

  const add = document.getElementById("network-add"), bar = document.getElementById("comparison");

  function choose(key) {
    const place = chosen.indexOf(key);
    if (place >= 0) chosen.splice(place, 1);
    else if (chosen.length < MOST) chosen.push(key);
    const items = chosen.map((each) => {
      const item = element("button", `${networks[each].name} ×`, { type: "button", class: "copy", "aria-label": `Remove ${networks[each].name}` });
      item.addEventListener("click", () => choose(each));
      return item;
    });
    const go = element("a", "Compare", { href: `#compare=${chosen.join(",")}`, class: "copy go" });
    bar.replaceChildren(element("span", chosen.length < 2 ? "Compare with: open another network" : "Compare"), ...items, ...(chosen.length > 1 ? [go] : []));
    bar.hidden = !chosen.length;
    const own = document.getElementById("network-key").textContent;
    add.textContent = chosen.includes(own) ? "Remove from comparison" : "Add to comparison";
  }

  function keysOf(hash) {
    const found = hash.match(/^compare=(.*)$/);
    return found ? found[1].split(",").filter((key) => Object.hasOwn(networks, key)).slice(0, MOST) : [];
  }

  function follow() {
    const hash = decodeURIComponent(location.hash.slice(1)), compared = keysOf(hash);
    if (Object.hasOwn(networks, hash)) {
      open(hash);
      add.hidden = false;
      add.textContent = chosen.includes(hash) ? "Remove from comparison" : "Add to comparison";
    } else if (compared.length > 1) openComparison(compared);
    else if (dialog.open) dialog.close();
  }

  add.addEventListener("click", () => choose(document.getElementById("network-key").textContent));
  dialog.addEventListener("close", () => {
    const key = location.hash.slice(1);
    if (Object.hasOwn(networks, key) || keysOf(key).length) history.replaceState(null, "", location.pathname + location.search);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside the panel
  });
  document.getElementById("network-close").addEventListener("click", () => dialog.close());
  window.addEventListener("hashchange", follow);
  document.querySelectorAll(".plot > div").forEach((plot) => {
    if (plot.on) plot.on("plotly_click", ({ points }) => {
      const key = points.map((point) => point.customdata).find((each) => Object.hasOwn(networks, each));
      if (key) location.hash = key;
    });
  });
  follow();
})();
