"""How a network leaves a run, or a training of its own.

export_network(results, run, query, to)   one network of a search, into a folder
train_network(training, run, ...)         trains one network in full and exports it
"""

from dnsearch.export.bundle import export_network
from dnsearch.export.trained import train_network

__all__ = ["export_network", "train_network"]
