"use strict";

// Elements of the page and of drawings, and numbers as texts.

const SVG = "http://www.w3.org/2000/svg";

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

// A list of terms with their texts.
function terms(pairs) {
  const made = element("dl");
  for (const [label, text] of pairs) {
    const row = element("div");
    row.append(element("dt", label), element("dd", text));
    made.append(row);
  }
  return made;
}

function short(value) {
  const [scale, prefix] = [[1e9, " G"], [1e6, " M"], [1e3, " k"], [1, ""]].find(
    ([each]) => value >= each) ?? [1, ""];
  return `${Number((value / scale).toPrecision(3))}${prefix}`;
}

function signed(value, digits) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
}

function percent(share) {
  return `${(100 * share).toFixed(2)} %`;
}

function counted(count, word) {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

// What html.py packed into the script element of this name: gzip as base64.
async function unpacked(name) {
  const text = document.getElementById(name).textContent.trim();
  if (!text) return "";
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

// Copy buttons; the older way serves browsers that refuse the clipboard to local files.
async function copy(button) {
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    const range = document.createRange();
    range.selectNodeContents(code);
    window.getSelection().removeAllRanges();
    window.getSelection().addRange(range);
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

document.querySelectorAll(".command .copy").forEach((button) =>
  button.addEventListener("click", () => copy(button)));
