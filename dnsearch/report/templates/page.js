// What the page tells, as html.py packed it.

let page = { figures: [], networks: {} };
try {
  page = JSON.parse(await unpacked("data"));
} catch {
  document.querySelectorAll(".plot").forEach((holder) => {
    holder.textContent = "This picture needs a browser of 2023 or later.";
  });
}
