"""What ``dnsearch confirm`` found for other programs: ``confirmed`` in ``summary.json``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dnsearch.confirm.certificate import Signal, View
from dnsearch.confirm.findings import Confirmed, ConfirmedNetwork
from dnsearch.confirm.rate_findings import RateFindings


def confirmed_record(found: Confirmed) -> dict[str, Any]:
    """The findings as nested mappings and lists; a missing figure is NaN."""
    certified = found.certificate
    return {
        "epochs": found.epochs,
        "test_images": found.test_images,
        "test_class_images": found.class_images,
        "pick": found.pick,
        "opportunity_loss": found.opportunity_loss,
        "candidates": [_network_record(network) for network in found.networks],
        "certificate": {
            "architectures": certified.architectures,
            "seeds": certified.seeds,
            "seed_sd": certified.noise.seed_sd,
            "signals": [_signal_record(signal) for signal in certified.rows],
        },
        "rates": None if found.rates is None else _rates_record(found.rates),
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


def _rates_record(rates: RateFindings) -> dict[str, Any]:
    return {
        "learning_rates": rates.learning_rates,
        "study_learning_rate": rates.learning_rates[rates.usual],
        "epochs": rates.epochs,
        "failed": rates.failed,
        "networks": [
            {
                "key": network.key,
                "name": network.name,
                "reference": network.reference is not None,
                "published": network.reference is not None and network.reference.published,
                **asdict(network.cost),
                "test_errors": network.test_errors,
                "test": [interval._asdict() for interval in network.test],
                "validation": network.validation,
                "best_learning_rate": rates.best(network),
                "test_at_best": network.tuned._asdict(),
            }
            for network in rates.networks
        ],
        "differences": [
            {
                "first": each.first.key,
                "second": each.second.key,
                "at": [interval._asdict() for interval in each.at],
                "at_best": each.tuned._asdict(),
                "order": str(each.flip),
                "flips_at": [rates.learning_rates[i] for i in each.flips_at],
            }
            for each in rates.differences
        ],
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
