"""Fresh training runs of some candidates: how good they are, what short training runs are worth.

    confirm(run, results, ...)   trains what a Request asks for, on the test images
    confirmed(results)           what was found, as Confirmed
    certify(...)                 how well cheap signals rank networks, as a Certificate

Resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dnsearch._lazy import lazily

if TYPE_CHECKING:
    from dnsearch.confirm.certificate import Certificate, certify
    from dnsearch.confirm.findings import Confirmed, confirmed
    from dnsearch.confirm.run import Request, confirm

__all__ = [
    "Certificate",
    "Confirmed",
    "Request",
    "certify",
    "confirm",
    "confirmed",
]

__getattr__ = lazily(
    __name__,
    {
        "Certificate": "certificate",
        "Confirmed": "findings",
        "Request": "run",
        "certify": "certificate",
        "confirm": "run",
        "confirmed": "findings",
    },
)
