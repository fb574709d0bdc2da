"""The page in a real browser: figures are drawn, the table sorts and filters, networks open."""

from __future__ import annotations

import csv
import dataclasses
import re

import numpy as np
import pytest
from playwright.sync_api import expect

from dnsearch.analysis.metrics import MISSING
from dnsearch.analysis.predictions import Predictions
from dnsearch.report.details import details
from dnsearch.report.digest import digest
from dnsearch.report.page import render

from . import synthetic
from .conftest import STATES


def predicted(state="usual"):
    """Such results with draws of what the errors may truly be."""
    results = STATES[state]()
    done = [network for network in results.networks if network.counts]
    rng = np.random.default_rng(0)
    draws = np.array([[network.error for network in done]]) + rng.normal(0, 0.01, (500, len(done)))
    joint = Predictions(tuple(n.key for n in done), np.abs(draws), 0.02, 4000, 3)
    return dataclasses.replace(results, predict=lambda: joint)


@pytest.fixture(scope="module")
def content():
    return render(digest(predicted()))


@pytest.fixture(scope="module")
def networks():
    return details(digest(predicted()))


def cells(page, name):
    """Texts of the table's visible cells under the header of this name."""
    return page.evaluate(
        """(name) => {
        const headers = [...document.querySelectorAll("#table th")];
        const column = headers.findIndex((header) => header.dataset.name === name);
        return [...document.querySelectorAll("#table tbody tr:not([hidden])")].map(
          (row) => row.cells[column].textContent.trim());
        }""",
        name,
    )


def numbers(texts):
    return [float(text.replace(",", "")) for text in texts]


def numbers_in(text):
    return re.findall(r"[\d.]+", text)


@pytest.mark.parametrize("state", list(STATES))
def test_every_state_is_drawn_without_a_complaint(state, opened):
    page = opened(render(digest(predicted(state))))
    assert page.locator("h1").inner_text()


def test_scripts_that_are_not_ours_do_not_run(content, chromium, tmp_path):
    evil = """<script>document.title = "evil"</script>
    <img src="data:image/png;base64,x" onerror="document.title = 'evil'">"""
    (tmp_path / "page.html").write_text(content.replace("<main>", f"<main>{evil}"), "utf-8")
    page, complaints = chromium.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector(".main-svg")
    assert page.title() != "evil"
    assert len([each for each in complaints if "Content Security Policy" in each]) >= 2
    page.close()


def test_a_click_sorts_and_another_turns_it_around(content, opened):
    page = opened(content)
    header = page.locator("#table th[data-name=macs] button")
    header.click()
    up = numbers(cells(page, "macs"))
    assert up == sorted(up)
    header.click()
    assert numbers(cells(page, "macs")) == sorted(up, reverse=True)
    assert page.locator("#table th[aria-sort]").get_attribute("aria-sort") == "descending"


def test_missing_figures_stay_last(content, opened):
    page = opened(content)
    header = page.locator("#table th[data-name=error] button")
    header.click()
    header.click()
    errors = cells(page, "error")
    assert errors[-2:] == [MISSING, MISSING]
    assert numbers(errors[:-2]) == sorted(numbers(errors[:-2]), reverse=True)


def test_filters(content, opened):
    page = opened(content)
    page.check("#filter-front")
    assert len(cells(page, "key")) == len(digest(predicted()).front)
    page.uncheck("#filter-front")
    page.fill("#filter-text", "densenet-40")
    assert [name.split()[0] for name in cells(page, "name")] == ["densenet-40-12"]
    assert page.locator("#shown").inner_text() == "1 of 30 candidates"


@pytest.mark.parametrize(
    ("asked", "holds"),
    [
        ("macs < 20M", lambda c: c.figure("macs") < 20e6),
        (
            "macs>=2e7 params <= 200k",
            lambda c: c.figure("macs") >= 2e7 and c.figure("params") <= 2e5,
        ),
        ("error < 7.5 k=24", lambda c: c.error < 0.075 and "k=24" in c.name),
        ("k=24", lambda c: "k=24" in c.name),
    ],
)
def test_figures_filter_by_their_columns(content, opened, asked, holds):
    page = opened(content)
    page.fill("#filter-text", asked)
    found = digest(predicted())
    expected = {c.key for c in found.networks if holds(c)}
    assert expected
    assert set(cells(page, "key")) == expected


def test_a_filter_that_names_no_column_says_which_there_are(content, opened):
    page = opened(content)
    page.fill("#filter-text", "foo < 3")
    told = page.locator("#shown").inner_text()
    assert told.startswith("foo<3: filters are such as macs < 400k, by predicted_error, ")
    assert "params" in told


def test_columns_by_choice_and_what_is_shown_as_csv(content, opened):
    page = opened(content)
    assert page.locator("#table th[data-name=bn_size]").is_hidden()
    page.click(".columns summary")
    page.locator("#columns label", has_text="bottleneck").locator("input").check()
    page.locator("#columns label", has_text="depth").locator("input").uncheck()
    page.check("#filter-front")
    with page.expect_download() as saved:
        page.click("#filter-csv")
    with open(saved.value.path(), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = digest(predicted())
    assert {row["key"] for row in rows} == {each.key for each in found.front}
    assert "bn_size" in rows[0]
    assert "depth" not in rows[0]
    macs = {each.key: each.figure("macs") for each in found.front}
    assert all(float(row["macs"]) == macs[row["key"]] for row in rows)


def test_the_first_columns_stay_while_the_others_scroll(content, opened):
    page = opened(content, width=700)
    key, last = page.locator("#table tbody td").nth(0), page.locator("#table th").last
    before = key.bounding_box()["x"], last.bounding_box()["x"]
    page.evaluate("document.querySelector('#table').parentElement.scrollLeft = 200")
    assert key.bounding_box()["x"] == pytest.approx(before[0], abs=1)
    assert last.bounding_box()["x"] < before[1] - 150


def test_a_click_on_a_point_opens_its_network(content, opened):
    page = opened(content)
    key = page.evaluate(
        """() => {
        const plot = document.querySelector(".hero .plot > div");
        const trace = plot.data.findIndex((each) => each.name === "least error");
        plot.emit("plotly_click", { points: [{ customdata: plot.data[trace].customdata[0] }] });
        return plot.data[trace].customdata[0];
        }"""
    )
    page.wait_for_selector("dialog[open]")
    assert page.locator("#network-key").inner_text() == key


def test_an_area_of_the_front_is_selected_in_every_view(content, opened):
    page = opened(content)
    page.locator(".hero .plot").hover()
    page.locator(".hero [data-attr=dragmode][data-val=select]").click()
    box = page.locator(".hero .plot .nsewdrag").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 5, steps=5)
    page.mouse.up()
    expect(page.locator("#filter-selected")).to_be_visible()
    shown = set(cells(page, "key"))
    axis = page.evaluate("document.querySelector('.hero .plot > div').layout.xaxis.range")
    middle = 10 ** (sum(axis) / 2)
    expected = {c.key for c in digest(predicted()).finished if c.figure("macs") < middle}
    assert shown == expected
    page.click("#filter-selected")
    assert len(cells(page, "key")) == 30


def test_dragging_along_an_axis_selects_what_passes_there(content, opened):
    page = opened(content)
    grips = page.locator(".parallel .grip")
    grips.last.scroll_into_view_if_needed()
    box = grips.last.bounding_box()  # of the error
    x = box["x"] + box["width"] / 2
    page.mouse.move(x, box["y"] + box["height"] - 1)
    page.mouse.down()
    page.mouse.move(x, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    errors = np.array([c.predicted_error for c in digest(predicted()).finished])
    log = np.log(errors)
    below = int((log <= log.min() + np.ptp(log) / 2).sum())
    assert abs(len(cells(page, "key")) - below) <= 1  # pixels
    page.mouse.click(x, box["y"] + 20)
    assert len(cells(page, "key")) == 30


def test_axes_by_choice(content, opened):
    page = opened(content)
    plot = ".hero .plot > div"
    choice, scale = page.locator(".hero [name=choice]"), page.locator(".hero [name=scale]")
    choice.select_option(label="parameters")
    title = page.evaluate(f"document.querySelector('{plot}').layout.xaxis.title.text")
    assert "param" in title
    scale.select_option("linear")
    layout = page.evaluate(
        f"(({{xaxis, yaxis, annotations}}) => [xaxis.type, yaxis.type, annotations.at(-1).x])"
        f"(document.querySelector('{plot}').layout)"
    )
    assert layout[:2] == ["linear", "linear"]
    params = [network.figure("params") for network in digest(predicted()).finished]
    assert min(params) * 0.99 <= layout[2] <= max(params) * 1.01


def test_linear_axes_of_latency_have_no_prefix_before_the_unit(opened):
    """200m under "latency (ms)" would be read as metres, or as 200 ms."""
    results = STATES["three costs"]()
    small = [each.latency_ms / 10 for each in results.measured]
    for place, latency in enumerate(small):
        results = synthetic.changed(results, place, latency_ms=latency)
    page = opened(render(digest(results)))
    page.locator(".hero [name=scale]").select_option("linear")
    ticks = page.locator(".hero .plot .xaxislayer-above .xtick")
    assert all(text[-1] in "kMG" for text in ticks.all_text_contents() if text != "0")
    page.locator(".hero [name=choice]").select_option(label="latency")
    texts = ticks.all_text_contents()
    assert 0 < max(map(float, texts)) <= 2 * max(small)
    assert "0." in "".join(texts)


def test_a_key_in_the_address_opens_its_network(content, networks, opened):
    page = opened(content)
    dialog = page.locator("#network")
    for key, own in networks.items():
        page.evaluate("(key) => { location.hash = key; }", key)
        expect(page.locator("#network-key")).to_have_text(key)
        assert dialog.get_attribute("open") is not None
        assert dialog.locator(".drawing .added").count() == sum(own["layers"])
        stages = dialog.locator(".stages").first.locator("tbody th").all_inner_texts()
        assert stages == [stage[0] for stage in own["stages"]]
        assert dialog.locator(".commands code").all_inner_texts() == own["commands"]
        near = [a.get_attribute("href")[1:] for a in dialog.locator(".near a").all()]
        alike = [
            other
            for other, each in networks.items()
            if each["error"] is not None
            and own["error"] is not None
            and sum(each["dimensions"][n] != v for n, v in own["dimensions"].items()) == 1
        ]
        assert sorted(near) == sorted(alike)


def test_latency_by_stage_is_shown_of_networks_whose_latency_was_measured(opened):
    results = predicted("some latencies")
    page = opened(render(digest(results)))
    for key, own in details(digest(results)).items():
        page.evaluate("(key) => { location.hash = key; }", key)
        expect(page.locator("#network-key")).to_have_text(key)
        table = page.locator("#network .stages").first
        heads = table.locator("thead th").all_inner_texts()
        assert ("latency (ms), estimated" in heads) == (own["costs"]["latency_ms"] is not None)
        if "latency (ms), estimated" in heads:
            shown = [
                float(numbers_in(t)[0]) for t in table.locator("td:last-child").all_inner_texts()
            ]
            assert sum(shown) == pytest.approx(own["costs"]["latency_ms"], rel=0.02)


def test_published_networks_can_be_opened_and_compared(content, networks, opened):
    (untrained, *_) = [
        key for key, each in networks.items() if each["name"] == "densenet-bc-100-12"
    ]
    trained = digest(predicted()).answer.key
    page = opened(content, f"#compare={trained},{untrained}")
    text = page.locator("#network-body").inner_text()
    assert "densenet-bc-100-12" in text
    ratio = networks[untrained]["costs"]["macs"] / networks[trained]["costs"]["macs"]
    assert f"(× {ratio:.2f})" in text


def test_a_comparison_tells_differences_as_the_draws_have_them(content, networks, opened):
    keys = [network.key for network in digest(predicted()).finished[:3]]
    page = opened(content, f"#compare={','.join(keys)},nonsense")
    links = page.locator(".compare thead a").all()
    assert [link.get_attribute("href")[1:] for link in links] == keys
    rows = {
        row.locator("th").inner_text(): row.locator("td").all_inner_texts()
        for row in page.locator(".compare tbody tr").all()
    }
    first, *others = (networks[key] for key in keys)
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


def test_bars_of_a_comparison_are_as_long_as_the_costs(content, networks, opened):
    keys = [network.key for network in digest(predicted()).finished[:2]]
    page = opened(content, f"#compare={','.join(keys)}")
    widths = [
        float(style.split("width: ")[1].split("%")[0])
        for style in page.locator(".paired")
        .first.locator(".bar span")
        .evaluate_all("(bars) => bars.map((bar) => bar.getAttribute('style'))")
    ]
    macs = [{name: m for name, _, _, _, m, *_ in networks[key]["stages"]} for key in keys]
    names = page.locator(".paired").first.locator("th").all_inner_texts()
    assert names[0] == "stem"
    assert names[-1] == "classifier"
    expected = np.array([[each.get(name, 0) for each in macs] for name in names]).ravel()
    assert widths == pytest.approx(75 * expected / expected.max(), abs=0.01)


def test_on_a_phone_nothing_is_wider_than_the_screen(content, opened):
    page = opened(content, width=390, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    clipped = page.evaluate(
        """[...document.querySelectorAll(".hero h1, .hero dd, .hero li, .hero p")].filter(
        (each) => each.scrollWidth > each.clientWidth + 1).map((each) => each.textContent)"""
    )
    assert clipped == []
