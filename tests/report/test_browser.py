"""The page in a real browser: figures are drawn, the table sorts and filters."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess

import pytest

from dnsearch.report.details import details
from dnsearch.report.digest import digest
from dnsearch.report.page import render

from .conftest import STATES

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

PROBE = """<script>
const cells = (n) => [...document.querySelectorAll("#table tbody tr:not([hidden])")].map(
  (row) => row.cells[n].textContent.trim());
const headers = [...document.querySelectorAll("#table th")];
const column = (label) => headers.findIndex((h) => h.textContent.trim() === label);
const click = (label) => {
  headers[column(label)].querySelector("button").click();
  return cells(column(label));
};
const found = { up: click("MACs (M)"), down: click("MACs (M)") };
found.sorted = headers.filter((h) => h.ariaSort).map((h) => [h.textContent.trim(), h.ariaSort]);
found.errors_down = (click("measured (%)"), click("measured (%)"));
document.getElementById("filter-front").click();
found.front = cells(0).length;
document.getElementById("filter-front").click();
const text = document.getElementById("filter-text");
text.value = "densenet-40"; text.dispatchEvent(new Event("input"));
found.filtered = cells(1);
found.shown = document.getElementById("shown").textContent;
found.plots = document.querySelectorAll(".plot .main-svg .cartesianlayer").length;
const links = [...document.querySelectorAll("#table code a")];
text.value = ""; text.dispatchEvent(new Event("input"));
const dialog = document.getElementById("network");
found.opened = links.map((link) => {
  history.replaceState(null, "", link.getAttribute("href"));
  window.dispatchEvent(new HashChangeEvent("hashchange"));
  const texts = (chosen) => [...dialog.querySelectorAll(chosen)].map((each) => each.textContent);
  return {
    key: document.getElementById("network-key").textContent,
    open: dialog.open,
    added: dialog.querySelectorAll(".drawing .added").length,
    stages: texts(".stages tbody th"),
    near: [...dialog.querySelectorAll(".near a")].map((a) => a.getAttribute("href").slice(1)),
    commands: texts(".commands code"),
  };
});
const result = document.createElement("pre");
result.id = "result";
result.textContent = btoa(JSON.stringify(found).replace(/[^\\x00-\\x7f]/g, "-"));
document.body.append(result);
</script></body>"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    folder = tmp_path_factory.mktemp("browser")
    page = folder / "report.html"
    content = render(digest(STATES["usual"]()))
    head, _, tail = content.rpartition("</body>")
    page.write_text(head + PROBE + tail, "utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    profile = f"--user-data-dir={folder / 'profile'}"
    run = subprocess.run(
        [CHROMIUM, *flags, profile, "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    match = re.search(r'<pre id="result">([^<]*)</pre>', run.stdout)
    assert match, run.stderr[-2000:]
    return json.loads(base64.b64decode(match[1]))


def numbers(texts):
    return [float(text.replace(",", "")) for text in texts]


def test_a_click_sorts_and_another_turns_it_around(found):
    up = numbers(found["up"])
    assert up == sorted(up)
    assert numbers(found["down"]) == sorted(up, reverse=True)
    assert found["sorted"] == [["MACs (M)", "descending"]]


def test_missing_figures_stay_last(found):
    errors = found["errors_down"]
    assert errors[-2:] == ["-", "-"]
    assert numbers(errors[:-2]) == sorted(numbers(errors[:-2]), reverse=True)


def test_filters(found):
    assert found["front"] == len(digest(STATES["usual"]()).front)
    assert len(found["filtered"]) == 1
    assert found["filtered"][0].startswith("densenet-40-12")
    assert found["shown"] == "1 of 30 candidates"


def test_every_figure_is_drawn(found):
    assert found["plots"] == 4


def test_a_key_in_the_address_opens_its_network(found):
    networks = details(digest(STATES["usual"]()))
    assert {opened["key"] for opened in found["opened"]} == set(networks)
    for opened in found["opened"]:
        own = networks[opened["key"]]
        assert opened["open"]
        assert opened["added"] == sum(own["layers"])
        assert opened["stages"] == [stage[0] for stage in own["stages"]]
        assert opened["commands"] == own["commands"]
        alike = [
            key
            for key, each in networks.items()
            if each["error"] is not None
            and own["error"] is not None
            and sum(each["dimensions"][n] != v for n, v in own["dimensions"].items()) == 1
        ]
        assert sorted(opened["near"]) == sorted(alike)
    assert any(opened["near"] for opened in found["opened"])
