"""What ``dnsearch confirm`` found for other programs: ``confirmed`` in ``summary.json``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dnsearch.confirm.certificate import Signal, View
from dnsearch.confirm.findings import Confirmed, ConfirmedNetwork


def confirmed_record(found: Confirmed) -> dict[str, Any]:
    """The findings as nested mappings and lists; a missing figure is NaN."""
    certified = found.certificate
    return {
        "epochs": found.epochs,
        "test_images": found.test_images,
        "test_class_images": found.class_images,
        "pick": found.pick,
        "regret": found.regret,
        "candidates": [_network_record(network) for network in found.networks],
        "certificate": {
            "architectures": certified.architectures,
            "seeds": certified.seeds,
            "seed_sd": certified.noise.seed_sd,
            "signals": [_signal_record(signal) for signal in certified.rows],
        },
    }


def _network_record(network: ConfirmedNetwork) -> dict[str, Any]:
    return {
        "key": network.key,
        "name": network.name,
        "front": network.front,
        "error": network.error,
        "predicted_error": network.predicted_error,
        **asdict(network.candidate.cost),
        "latency_ms": network.candidate.latency_ms,
        "test_errors": network.test_errors,
        "test_mean": network.test.value,
        "test_low": network.test.low,
        "test_high": network.test.high,
        "test_class_errors": network.class_errors,
        "front_probability": network.front_probability,
        "best_probability": network.best_probability,
    }


def _signal_record(signal: Signal) -> dict[str, Any]:
    agreements = {"tau": signal.tau, "rho": signal.rho, "pairs_right": signal.pairs_right}
    return {
        "name": signal.name,
        "kind": str(signal.kind),
        **{
            f"{name}_{view}": getattr(agreement, view)._asdict()
            for name, agreement in agreements.items()
            for view in View
        },
        "regret": signal.regret._asdict(),
        "precision": signal.precision._asdict(),
    }
