"""Architecture search and scaling analysis for DenseNets."""

__version__ = "0.1.0"
