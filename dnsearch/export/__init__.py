"""How a network leaves a run, or a training of its own."""

from dnsearch.export.bundle import export_network
from dnsearch.export.trained import train_network

__all__ = ["export_network", "train_network"]
