// Sorting and filtering of the table of candidates, the choice of its columns, and its figures as CSV.

function candidateTable(table) {
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  const names = headers.map((header) => header.dataset.name);
  const numeric = names.filter((_, i) => headers[i].classList.contains("number"));
  const rows = [...body.rows].map((row) => ({
    row, text: row.textContent.toLowerCase(), key: row.cells[0].textContent.trim(), shown: true }));

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

  const field = (name) => document.getElementById(`filter-${name}`);
  const shown = document.getElementById("shown");
  const CONDITION = /([a-z][a-z0-9_]*)\s*(<=|>=|<|>|=)\s*(-?[\d.]+(?:e[+-]?\d+)?)\s*([kmg]?)b?(?=\s|$)/gi;
  const HOLDS = { "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b,
    ">=": (a, b) => a >= b, "=": (a, b) => a === b };

  // Such as `macs < 4e5` or `macs<400k`: of a numeric column by its name; errors in percent. What
  // names no such column, such as `k=12`, is a word to look for.
  function conditions(text) {
    const found = [];
    const words = text.replace(CONDITION, (whole, name, relation, number, prefix) => {
      const column = names.indexOf(name.toLowerCase());
      if (column < 0 || !headers[column].classList.contains("number")) return whole.replace(/\s/g, "");
      const unit = { k: 1e3, m: 1e6, g: 1e9 }[prefix.toLowerCase()] ?? 1;
      const scale = headers[column].textContent.includes("%") ? 100 : 1;
      found.push((row) => {
        const value = sortKey(row, column);
        return value !== null && HOLDS[relation](value * scale, Number(number) * unit);
      });
      return " ";
    });
    const left = words.toLowerCase().split(/\s+/).filter(Boolean);
    const unknown = left.filter((word) => /[<>]/.test(word));
    return [found, left, unknown];
  }

  function filter() {
    const [needed, words, unknown] = conditions(field("text").value);
    let count = 0;
    for (const entry of rows) {
      const { row, text, key } = entry;
      entry.shown =
        words.every((word) => text.includes(word)) &&
        needed.every((holds) => holds(row)) &&
        (!field("state").value || row.dataset.state === field("state").value) &&
        (!field("front").checked || "front" in row.dataset) &&
        (!selection.keys || selection.keys.has(key));
      row.hidden = !entry.shown;
      count += entry.shown;
    }
    const all = counted(rows.length, "candidate");
    shown.textContent = count === rows.length ? all : `${count} of ${all}`;
    if (unknown.length) shown.textContent = `${unknown.join(" ")}: filters are such as macs < 400k, by ${numeric.join(", ")}`;
    field("selected").hidden = !selection.keys;
  }

  function showColumn(column, visible) {
    for (const row of [table.tHead.rows[0], ...rows.map((each) => each.row)]) {
      row.cells[column].hidden = !visible;
    }
  }

  function columnChoice(holder) {
    headers.forEach((header, column) => {
      if (column < 2) return; // the network itself
      const label = element("label"), box = element("input", undefined, { type: "checkbox" });
      box.checked = !header.hidden;
      box.addEventListener("change", () => showColumn(column, box.checked));
      label.append(box, header.textContent.trim());
      holder.append(label);
    });
  }

  // Spreadsheets take a cell that begins like this for a formula.
  function cell(text) {
    const safe = /^[=+@\t\r-]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
    return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  }

  function csv() {
    const columns = headers.map((_, i) => i).filter((i) => !headers[i].hidden);
    const lines = [...body.rows].filter((row) => !row.hidden).map((row) =>
      columns.map((i) => cell(headers[i].classList.contains("number") && row.cells[i].dataset.sort !== undefined
        ? row.cells[i].dataset.sort : row.cells[i].textContent.trim())));
    return [columns.map((i) => cell(names[i])), ...lines].map((line) => `${line.join(",")}\n`).join("");
  }

  function save() {
    const address = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    element("a", undefined, { download: "candidates-shown.csv", href: address }).click();
    URL.revokeObjectURL(address);
  }

  headers.forEach((header, column) =>
    header.querySelector("button").addEventListener("click", () => sortBy(column)));
  field("text").addEventListener("input", filter);
  field("state").addEventListener("change", filter);
  field("front").addEventListener("change", filter);
  field("selected").addEventListener("click", () => selection.choose(null));
  field("csv").addEventListener("click", save);
  columnChoice(document.getElementById("columns"));
  selection.onChange("table", filter);
  filter();
}

if (document.getElementById("table")) candidateTable(document.getElementById("table"));
