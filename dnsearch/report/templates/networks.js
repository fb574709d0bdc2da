// One network, opened by its key in the address: #KEY.

const networks = page.networks;
const dialog = document.getElementById("network");

// A page that opens no network draws each where it asks for it.
const places = [...document.querySelectorAll("[data-draws]")];
drawings(places.map((place) => networks[place.dataset.draws]), 560).forEach((svg, i) => places[i].append(svg));

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

function near(key) {
  const own = networks[key], list = neighbours(key);
  if (own.error === null || !list.length) return null;
  const table = element("table", undefined, { class: "near" });
  const head = table.createTHead().insertRow();
  for (const label of ["one change", "MACs", "params", "predicted error"]) head.append(element("th", label, { scope: "col" }));
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

// The errors of its training runs by seed, where it has several.
function seeds(network) {
  if (network.seeds.length < 2) return null;
  return terms(network.seeds.map(([seed, error]) => [`seed ${seed}`, percent(error)]));
}

// Errors by class, the largest first.
function classErrors(network) {
  if (!network.classes.length) return null;
  const sorted = network.classes.map((error, i) => [page.classes[i], error]).sort(([, a], [, b]) => b - a);
  const table = element("table", undefined, { class: "stages" }), body = table.createTBody();
  for (const [name, error] of sorted.filter(([, error]) => error !== null)) {
    const row = body.insertRow(), cell = element("td", undefined, { class: "bar" });
    const bar = element("span", undefined, { "aria-hidden": "true" });
    bar.style.width = `${100 * error}%`;
    cell.append(bar, element("small", percent(error)));
    row.append(element("th", name, { scope: "row" }), cell);
  }
  return table;
}

function commands(network) {
  if (!network.commands.length) return null;
  const made = element("ul", undefined, { class: "commands" });
  for (const command of network.commands) {
    const item = element("li");
    item.append(element("code", command));
    made.append(item);
  }
  return made;
}

function openNetwork(key) {
  const network = networks[key];
  fillDialog(network.name, key, [
    ["To scale: a bar a layer, as high as it has channels", drawing(network)],
    ["Errors and costs", terms(network.figures)],
    ["Where the costs lie", stageCosts(network)],
    ["Validation error while it trained", curves([network])],
    ["Its training runs, each with a seed of its own", seeds(network)],
    ["Validation error by class", classErrors(network)],
    ["Trained networks that differ in one thing", near(key)],
    ["Shape", terms(Object.entries(network.dimensions))],
    ["Take it further", commands(network)],
  ]);
}

// Sections [title, content] without content are left out.
function fillDialog(name, key, sections) {
  const parts = sections.filter(([, content]) => content).flatMap(
    ([title, content]) => [...(title ? [element("h3", title)] : []), content]);
  document.getElementById("network-name").textContent = name;
  document.getElementById("network-key").textContent = key;
  document.getElementById("network-body").replaceChildren(...parts);
  addButton.hidden = !key;
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}
