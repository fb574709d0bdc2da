"""The states of a run that a report must show well."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dnsearch.cost.latency import LatencyModel, Setting
from dnsearch.search.latency import PredictedLatencies
from dnsearch.search.results import Results

from . import synthetic


def _some_latencies() -> Results:
    found = synthetic.results(12, costs=("latency_ms",))
    model = LatencyModel(Setting("cpu", 1, 1, "fp32", "reference"), (0.01, 0.03, 0.8, 12, 20, 0.5))
    known = PredictedLatencies(str(model.setting), 72, None, model)
    found = dataclasses.replace(found, latencies=known)
    return synthetic.changed(found, slice(None, None, 3), latency_ms=np.nan)


def _no_latencies() -> Results:
    found = synthetic.results(6, costs=("latency_ms",))
    return synthetic.changed(found, slice(None), latency_ms=np.nan)


def _perfect() -> Results:
    return synthetic.changed(synthetic.results(4), 0, error=0.0)


STATES: dict[str, Callable[[], Results]] = {
    "usual": lambda: synthetic.results(30, failed=2, trained_preset="densenet-40-12"),
    "empty": lambda: synthetic.results(0),
    "all failed": lambda: synthetic.results(4, failed=4, reason="line one\n" + "long " * 400),
    "none fit": lambda: synthetic.results(4, unfit=4),
    "one": lambda: synthetic.results(1),
    "front of two": lambda: synthetic.results(2, seed=3),
    "three costs": lambda: synthetic.results(20, costs=("macs", "params", "latency_ms"), unfit=2),
    "some latencies": _some_latencies,
    "no latencies": _no_latencies,
    "error of zero": _perfect,
    "no presets": lambda: synthetic.results(5, presets=synthetic.presets()[:0]),
}


@pytest.fixture(params=list(STATES))
def any_state(request) -> Results:
    return STATES[request.param]()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's or Google's browser, without a screen. Where there must be one, as in CI, none is a
    failure."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("BROWSER_TESTS") == "required":
            pytest.fail("BROWSER_TESTS is 'required', and there is no chromium")
        pytest.skip("needs chromium")
    offline = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    expect.set_options(timeout=60_000)  # however busy the machine is
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=offline)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, tmp_path) -> Iterator[Callable[..., Page]]:
    """Opens a page of this HTML, at this anchor and size; what the browser complains of fails the
    test."""
    complaints: list[str] = []
    context = None

    def open_page(content: str, anchor: str = "", width: int = 1280, height: int = 900) -> Page:
        nonlocal context
        file = tmp_path / "page.html"
        file.write_text(content, "utf-8")
        context = chromium.new_context(viewport={"width": width, "height": height})
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{file.as_uri()}{anchor}")
        expect(page.locator(".plot:not(:has(.main-svg))")).to_have_count(0)
        return page

    yield open_page
    if context is not None:
        context.close()
    assert complaints == []
