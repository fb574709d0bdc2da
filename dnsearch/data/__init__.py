"""From images on disk to batches on the training device; nothing is ever downloaded.

    prepare(config)       decoded, resized, split and cached arrays, without torch
    prepare_test(config)  the test split, which nothing else opens
    check_test(config)    whether that can be used, without its images
    has_test(config)      whether there is one
    had_test(facts, ...)  whether there was one, by a run's data.json
    kept(keep, data, ds)  where the decoded images are while workers on these devices train
    DeviceData(data, d)   the arrays on a device, in batches
    Augment(flip, ...)    the augmentation of training batches

The last two need torch, so they are resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dnsearch._lazy import lazily
from dnsearch.data.dataset import LabelledImages, PreparedData
from dnsearch.data.keeping import Kept, kept
from dnsearch.data.store import (
    SplitCheck,
    check_test,
    had_test,
    has_test,
    is_cheap_to_check,
    prepare,
    prepare_test,
)

if TYPE_CHECKING:
    from dnsearch.data.augment import Augment
    from dnsearch.data.device import DeviceData

__all__ = [
    "Augment",
    "DeviceData",
    "Kept",
    "LabelledImages",
    "PreparedData",
    "SplitCheck",
    "check_test",
    "had_test",
    "has_test",
    "is_cheap_to_check",
    "kept",
    "prepare",
    "prepare_test",
]

__getattr__ = lazily(__name__, {"Augment": "augment", "DeviceData": "device"})
