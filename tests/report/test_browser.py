"""The page in a real browser: figures are drawn, the table sorts and filters."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from dnsearch.analysis.predictions import Predictions
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
const three = links.slice(0, 3).map((link) => link.getAttribute("href").slice(1));
history.replaceState(null, "", `#compare=${three.join(",")},nonsense`);
window.dispatchEvent(new HashChangeEvent("hashchange"));
found.compared = {
  keys: three,
  names: [...dialog.querySelectorAll(".compare thead a")].map(
    (a) => a.getAttribute("href").slice(1)),
  rows: [...dialog.querySelectorAll(".compare tbody tr")].map(
    (row) => [...row.cells].map((cell) => cell.textContent)),
};
const result = document.createElement("pre");
result.id = "result";
result.textContent = btoa(JSON.stringify(found).replace(/[^\\x00-\\x7f]/g, "-"));
document.body.append(result);
</script></body>"""


def predicted():
    """The usual state, with draws of what the errors may truly be."""
    results = STATES["usual"]()
    done = [network for network in results.networks if network.counts]
    rng = np.random.default_rng(0)
    draws = np.array([[network.error for network in done]]) + rng.normal(0, 0.01, (500, len(done)))
    joint = Predictions(tuple(n.key for n in done), np.abs(draws), 0.02, 4000, 3)
    return dataclasses.replace(results, predict=lambda: joint)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    folder = tmp_path_factory.mktemp("browser")
    page = folder / "report.html"
    content = render(digest(predicted()))
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
    assert found["front"] == len(digest(predicted()).front)
    assert len(found["filtered"]) == 1
    assert found["filtered"][0].startswith("densenet-40-12")
    assert found["shown"] == "1 of 30 candidates"


def test_every_figure_is_drawn(found):
    assert found["plots"] == 4


def test_a_key_in_the_address_opens_its_network(found):
    networks = details(digest(predicted()))
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


def test_a_comparison_tells_differences_as_the_draws_have_them(found):
    networks = details(digest(predicted()))
    compared = found["compared"]
    assert compared["names"] == compared["keys"]
    rows = {label: texts for label, *texts in compared["rows"]}
    first, *others = (networks[key] for key in compared["keys"])
    for i, other in enumerate(others, start=1):
        apart = np.array(other["draws"]) - np.array(first["draws"])
        mean, *ends = (float(n) for n in numbers_in(rows["difference from the first"][i]))
        assert mean == pytest.approx(abs(apart.mean()) / 1e3, abs=0.006)
        expected = np.abs(np.quantile(apart, [0.05, 0.95])) / 1e3
        assert ends == pytest.approx(expected, abs=0.1)
        (better,) = numbers_in(rows["better than the first"][i])
        assert float(better) == pytest.approx((apart < 0).mean(), abs=0.006)
        ratio = other["costs"]["macs"] / first["costs"]["macs"]
        assert float(numbers_in(rows["MACs"][i])[-1]) == pytest.approx(ratio, abs=0.006)


def numbers_in(text):
    return re.findall(r"[\d.]+", text)
