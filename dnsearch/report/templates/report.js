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
