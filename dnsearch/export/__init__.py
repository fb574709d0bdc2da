"""How a network leaves a run, or a training of its own, and what it makes of pictures.

export_network(results, run, query, to)   one network of a search, into a folder
train_network(training, run, ...)         trains one network in full and exports it
Predictor.of_folder(folder)               classes and probabilities of pictures
"""

from dnsearch.export.predictor import Predictor
from dnsearch.export.searched import export_network
from dnsearch.export.trained import train_network

__all__ = ["Predictor", "export_network", "train_network"]
