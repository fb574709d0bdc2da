"""How a network leaves a run."""

from dnsearch.export.bundle import export_network

__all__ = ["export_network"]
