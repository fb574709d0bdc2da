"""A PostgreSQL server that keeps the results of runs: its address, and connections to it.

The address is libpq's, ``postgresql+psycopg://USER@HOST:PORT/DATABASE``, with settings of libpq
behind a '?'. It never holds a password, which everybody on the machine could read in the list of
processes; libpq takes one from PGPASSWORD, ~/.pgpass or a service file, as it takes whatever else
the address leaves out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

from dnsearch.errors import ConfigError, ConnectionLost, DnsearchError, MachineError, RunError

if TYPE_CHECKING:
    from psycopg import Connection

SCHEMES = "postgresql+psycopg", "postgresql"
"""The first is what is kept; both mean psycopg 3."""

HOW = "give it by PGPASSWORD, ~/.pgpass or a service file (docs/postgres.md)"

_SECRET = {"password", "sslpassword"}

_SETTINGS = {
    # Without them a connection over which nothing comes any more, as after a cable was pulled,
    # would be waited for a quarter of an hour, and an idle one for ever.
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

_SESSION = """
SELECT set_config('tcp_keepalives_idle', '30', false),
       set_config('tcp_keepalives_interval', '10', false),
       set_config('tcp_keepalives_count', '3', false),
       set_config('default_transaction_read_only', %s, false),
       set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                  WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)
"""
"""The same on the server's side, so that it soon gives back the lock of a machine that is gone; and
what was committed is on the disk."""


class Place(NamedTuple):
    """Where in a server the results of a run are: in the Optuna studies ``{run}/search`` and so on
    at ``address``. ``begun``: whether they were there once, so that their lack is a loss."""

    address: str
    run: str
    begun: bool = False

    def __str__(self) -> str:
        return f"{self.address} ({self.run})"


def parse_address(value: Any) -> str:
    """The address of a server, beginning with the first of ``SCHEMES``.

    Raises ConfigError, which never shows a password, where it is none or holds one.
    """
    if not isinstance(value, str):
        raise ConfigError("", "must be the address of a PostgreSQL server", value)
    scheme, _, rest = value.partition("://")
    if scheme.startswith("sqlite"):
        hint = "leave it out: a run has a SQLite file of its own, study.db in its folder"
        raise ConfigError("", "must be the address of a PostgreSQL server", value, hint)
    if scheme not in SCHEMES or not rest:
        rule = f"must begin with {SCHEMES[0]}://"
        raise ConfigError("", rule, without_password(value), "see docs/postgres.md")
    settings = {name for name, _ in parse_qsl(rest.partition("?")[2], keep_blank_values=True)}
    # up to the last '@': a password may hold any of '/', '?' and '#', which it should not
    if ":" in rest.rpartition("@")[0] or settings & _SECRET:
        raise ConfigError("", "must not hold a password", hint=HOW)
    return f"{SCHEMES[0]}://{rest}"


def without_password(word: str) -> str:
    """An address, or anything else that was typed as one word, with ``***`` for a password."""
    word = re.sub(r"(:/+[^:@/]*):.*@", r"\1:***@", word, flags=re.DOTALL)
    return re.sub(r"(password\s*=)[^&]+", r"\1***", word, flags=re.IGNORECASE)


def without_passwords(text: str) -> str:
    """The same of lines that hold such words."""
    return re.sub(r"\S+", lambda word: without_password(word[0]), text)


def connect(address: str, name: str, read_only: bool = False, **settings: int) -> Connection[Any]:
    """A connection, which the server knows by ``name``; ``settings`` of libpq come before ours, and
    those of the address before both.

    Raises ConnectionLost where the server cannot be reached, RunError where it refuses the user,
    the password or the database, and MachineError where psycopg is missing.
    """
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict
    except ImportError:
        raise MachineError(
            f"{address}: needs psycopg; install it with `pip install 'psycopg[binary]'` (the extra "
            "[postgres] of dnsearch)"
        ) from None
    try:
        given = conninfo_to_dict(address.replace(SCHEMES[0], SCHEMES[1], 1))
        chosen: dict[str, Any] = {"application_name": name[:63], **_SETTINGS, **settings, **given}
        connection = psycopg.connect(**chosen)
        connection.execute(_SESSION, ["on" if read_only else "off"])
        connection.commit()
    except psycopg.Error as error:
        raise refused(address, error) from None
    return connection


def refused(address: str, error: Exception) -> DnsearchError:
    """What to raise for an error of a connection that is being made."""
    reason = without_passwords(" ".join(str(error).split()))
    for signs, hint in _HINTS:
        if any(sign in reason for sign in signs):
            return RunError(f"{address}: cannot be used: {reason}; {hint}")
    return ConnectionLost(f"{address}: cannot be reached: {reason}")


_HINTS = (
    (("password", "authentication failed"), f"as to the password, {HOW}"),
    (('database "',), "have it made, as by createdb"),
    (("role ", "pg_hba.conf", "permission denied"), "ask who keeps the server"),
    (
        ("invalid connection option", "invalid URI", "invalid integer", "missing"),
        "mend the address",
    ),
)
"""By libpq's words: whose fault it is. What is none of them may pass, as a server that starts."""
