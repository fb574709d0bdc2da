// Up to six networks side by side, opened by the address #compare=KEY,KEY; and what follows the address.

const MOST = 6, chosen = [];
const addButton = document.getElementById("network-add"), bar = document.getElementById("comparison");

// Of the error of one network less that of another: mean and ends of 90 %, in points, and the
// probability that it is below 0; null where they were not predicted together.
function difference(one, other) {
  if (!one.draws || !other.draws) return null;
  const all = one.draws.map((each, i) => (each - other.draws[i]) / 1e3).sort((a, b) => a - b);
  const at = (share) => all[Math.round(share * (all.length - 1))];
  return { mean: all.reduce((a, b) => a + b, 0) / all.length, low: at(0.05), high: at(0.95),
    better: all.filter((each) => each < 0).length / all.length };
}

function comparisonTable(keys) {
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
  row("predicted error", shown.map((each) => (each.error === null ? "" : `${(100 * each.error).toFixed(2)} %`)));
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
  const shown = keys.map((key) => networks[key]);
  const holder = element("div", undefined, { class: "scroll" });
  holder.append(comparisonTable(keys));
  const legend = element("p", undefined, { class: "legend" });
  shown.forEach(({ name }, i) => {
    const item = element("span", name), mark = element("i", undefined, { "aria-hidden": "true" });
    mark.style.background = page.colours[i];
    item.prepend(mark);
    legend.append(item);
  });
  fillDialog(`${keys.length} networks compared`, "", [
    ["", holder],
    ["", element("p", "Errors are predicted; the intervals hold 90 % on the images that were measured, for seeds and the model. Drawn to one scale.", { class: "note" })],
    ["", legend],
    ...partsOf(shown).map(([label, part]) => [`${label} by stage`, stageBars(shown, part)]),
    ["Validation error while they trained", curves(shown)],
  ]);
}

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
  labelAdd(document.getElementById("network-key").textContent);
}

function labelAdd(key) {
  addButton.textContent = chosen.includes(key) ? "Remove from comparison" : "Add to comparison";
}

function keysOf(hash) {
  const found = hash.match(/^compare=(.*)$/);
  return found ? found[1].split(",").filter((key) => Object.hasOwn(networks, key)).slice(0, MOST) : [];
}

function follow() {
  const hash = decodeURIComponent(location.hash.slice(1)), compared = keysOf(hash);
  if (Object.hasOwn(networks, hash)) {
    openNetwork(hash);
    labelAdd(hash);
  } else if (compared.length > 1) openComparison(compared);
  else if (dialog.open) dialog.close();
}

if (dialog) {
  addButton.addEventListener("click", () => choose(document.getElementById("network-key").textContent));
  dialog.addEventListener("close", () => {
    const key = location.hash.slice(1);
    if (Object.hasOwn(networks, key) || keysOf(key).length) history.replaceState(null, "", location.pathname + location.search);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside the panel
  });
  document.getElementById("network-close").addEventListener("click", () => dialog.close());
  window.addEventListener("hashchange", follow);
  follow();
}
