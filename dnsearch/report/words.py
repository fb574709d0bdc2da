"""The words of a report in plain English, for the end of every page and ``docs/answers.md``."""

from __future__ import annotations

WORDS = {
    "network": "one DenseNet architecture; candidate: one that the search trained.",
    "k, growth rate": "channels that each layer adds (k=12 blocks 2-4-4: three blocks of 2, 4 and "
    "4 layers that add 12 channels each).",
    "bottleneck, bn_size": "width of the 1x1 convolution before each 3x3 convolution, in growth "
    "rates; no bottleneck: 3x3 convolutions alone (bn_size 0).",
    "init, num_init_features": "channels after the stem; named where they are not 2k.",
    "stem": "the first layers, named where they are not one 3x3 convolution (cifar): imagenet, a "
    "7x7 convolution with stride 2 and a pooling; patch2, patch4, a convolution of patches of 2x2 "
    "or 4x4 pixels.",
    "MACs": "multiply-adds of one forward pass of one image, of convolutions and linear layers.",
    "latency": "milliseconds of one forward pass on this machine, measured of trained networks and "
    "predicted of others.",
    "training run": "one network trained with one seed; seed noise: how much the error changes "
    "with the seed alone.",
    "rung": "a training length in epochs at which the search decides whether to go on; errors are "
    "compared at the longest, the top rung.",
    "measured error": "the share of validation images that a network got wrong, the mean over its "
    "seeds.",
    "predicted error": "the error that another training run of the network is expected to have, in "
    "the mean over seeds, by a model of all training runs together. It ranks "
    "and places networks everywhere, because the least of many measured errors is partly luck.",
    "on these images": "the 90 % interval of the predicted error on the images that were measured: "
    "seeds and the model are uncertain. Networks are compared by it, for all were measured on the "
    "same images.",
    "on new images": "the 90 % interval on other images of the same kind: it adds the choice of "
    "images. It is what to expect in use.",
    "baseline": "the error of always giving the same answer, that of the commonest class. A "
    "network whose interval on new images reaches it has not been shown to have learnt anything, "
    "and is never recommended.",
    "least error": "the answer: the network of least predicted error within the limits.",
    "as good, cheaper": "the cheapest network that saves at least a tenth of the cost and whose "
    "error is, as predicted and with a probability of at least 0.8, at most 1 % larger, or as much "
    "larger as seeds move it where that is more; once networks were confirmed, one of these.",
    "Pareto front": "the networks that no other one beats in both predicted error and cost.",
    "knee": "the network on the front beyond which both giving up error and giving up cost stop "
    "paying; a mark in the picture.",
    "hypervolume": "how much of the space of errors and costs the measured networks dominate, up "
    "to a fixed reference point; it grows while a search still finds better ones.",
    "regret": "by how much the error of the answer exceeds that of the best network of the space "
    "within the limits, trained or not; in the certificate, of the best of the confirmed networks.",
    "going on": "by how much error the best network of the space within the limits, trained or "
    "not, may be better than the answer, which is the most that further training runs can gain.",
    "confirmed": "trained again in full by `dnsearch confirm`, with fresh seeds, and measured on "
    "the test images.",
}
"""By term, each a sentence or two."""
