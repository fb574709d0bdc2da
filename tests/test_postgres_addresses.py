"""Addresses of servers, in which no password may stand; no server is needed for that."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsearch.config import parse_study, recorded
from dnsearch.errors import ConfigError, MachineError
from dnsearch.postgres import connect, parse_address, without_password, without_passwords

ADDRESSES = [
    "postgresql+psycopg://me@db:5432/runs",
    "postgresql+psycopg://db/runs",
    "postgresql+psycopg://[::1]:5432/runs",
    "postgresql+psycopg:///runs?host=/var/run/postgresql",
    "postgresql+psycopg://me@one:5432,two:5433/runs?target_session_attrs=read-write",
    "postgresql+psycopg://?service=lab",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_stay_as_they_are(address):
    assert parse_address(address) == without_password(address) == address
    assert parse_address(address.replace("+psycopg", "")) == address


@given(st.text(st.characters(exclude_characters="\n", codec="utf-8"), min_size=1))
def test_no_password_is_taken_or_shown(password):
    """Whatever is in it, also what a URL would have to escape."""
    canary = f"{password}canary"
    for address in (
        f"postgresql+psycopg://me:{canary}@db/runs",
        f"postgresql+psycopg://:{canary}@db/runs",
        f"mysql://me:{canary}@db/runs",
        f"postgresql+psycopg://me@db/runs?sslmode=require&password={canary}",
        f"postgresql+psycopg://me@db/runs?sslpassword={canary}",
    ):
        with pytest.raises(ConfigError) as told:
            parse_address(address)
        assert "canary" not in str(told.value)


def test_a_password_is_hidden_in_any_line():
    line = "cannot open postgresql://me:sesame@db/runs (password=sesame) or 'pq:/me:se:s@me@db'"
    hidden = "cannot open postgresql://me:***@db/runs (password=*** or 'pq:/me:***@db'"
    assert without_passwords(line) == hidden
    plain = "trained 5:3 at 12:30, see https://example.org:80/a and C:/x"
    assert without_passwords(plain) == plain


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("sqlite:///x.db", "must be the address of a PostgreSQL server.*study.db in its folder"),
        ("mysql://db/runs", r"must begin with postgresql\+psycopg://, got 'mysql://db/runs'"),
        ("postgresql+psycopg://", r"must begin with postgresql\+psycopg://"),
        ("db/runs", r"must begin with postgresql\+psycopg://"),
        ("postgresql://me:pw@db/runs", "must not hold a password; give it by PGPASSWORD, "),
    ],
)
def test_in_a_study_file(address, told):
    with pytest.raises(ConfigError, match=f"study: search.storage {told}"):
        parse_study(f'[search]\nstorage = "{address}"')


def test_a_study_records_it():
    study = parse_study('[search]\nstorage = "postgresql://me@db/runs"')
    assert '\nstorage = "postgresql+psycopg://me@db/runs"\n' in recorded(study)
    assert "\n# storage =\n" in recorded(parse_study(""))


def test_without_psycopg(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MachineError, match=r"needs psycopg; install it with `pip install 'psycopg"):
        connect(ADDRESSES[0], "test")
