"""Where Medium and High begin: `load_signal`, `thresholds` and `[services.thresholds]` of a service."""

from __future__ import annotations

from dataclasses import dataclass

import clustercore

from clustercore_apps.service.config.reader import Reader
from clustercore_apps.service.load_signal import SIGNALS, LoadSignal

IN_FLIGHT_PER_CORE_MAX = 64
"""Of a sampled signal: what a back end may have in flight between two samples, at most."""


@dataclass(frozen=True, slots=True)
class ThresholdConfig:
    """`medium` and `high` are in the signal's unit; learnt ones begin there.

    `in_flight_per_core_max` is 0 for no limit.
    """

    signal: LoadSignal
    medium: float
    high: float
    is_learnt: bool
    in_flight_per_core_max: int

    @property
    def medium_of_core(self) -> float:
        """As the core has it."""
        return self.medium * self.signal.scale

    @property
    def high_of_core(self) -> float:
        """As the core has it."""
        return self.high * self.signal.scale


def read_thresholds(service: Reader) -> ThresholdConfig:
    """Reads them from the table of a service. Raises `ConfigError`."""
    signal = SIGNALS[service.choice("load_signal", tuple(SIGNALS), "in_flight")]
    if service.is_string("thresholds"):
        mode = service.choice("thresholds", ("fixed", "auto"), "fixed")
        table = service.empty("thresholds")
    else:
        table = service.table("thresholds")
        mode = table.choice("mode", ("fixed", "auto"), "fixed")
    _refuse_keys_of_others(table, signal)
    default = clustercore.default_thresholds(signal.name)
    if default is None and not (table.has(signal.medium_key) and table.has(signal.high_key)):
        raise service.error(
            "load_signal",
            f'"services.load_signal" is "{signal.name}", which needs thresholds; add [services.thresholds] '
            f"with {signal.medium_key} and {signal.high_key}",
        )
    medium, high = (value / signal.scale for value in default) if default else (signal.least, signal.most)
    config = ThresholdConfig(
        signal=signal,
        medium=table.number(signal.medium_key, medium, signal.least, signal.most),
        high=table.number(signal.high_key, high, signal.least, signal.most),
        is_learnt=mode == "auto",
        in_flight_per_core_max=table.integer(
            "in_flight_per_core_max", IN_FLIGHT_PER_CORE_MAX if signal.is_sampled else 0, 0, 100_000
        ),
    )
    table.finish()
    if config.is_learnt and signal.is_sampled:
        raise service.error(
            "load_signal",
            f'"services.load_signal" is "{signal.name}", but thresholds = "auto" learns requests in flight; '
            f'set load_signal = "in_flight" or fixed thresholds',
        )
    if config.medium > config.high:
        raise table.error(
            signal.high_key if table.has(signal.high_key) else signal.medium_key,
            f'"services.thresholds.{signal.high_key}" is {config.high:g}, must not be below '
            f"{signal.medium_key} ({config.medium:g})",
        )
    return config


def _refuse_keys_of_others(table: Reader, signal: LoadSignal) -> None:
    for other in SIGNALS.values():
        for key, own in ((other.medium_key, signal.medium_key), (other.high_key, signal.high_key)):
            if other is not signal and table.names(key):
                raise table.error(
                    key,
                    f'"services.thresholds.{key}" belongs to load_signal = "{other.name}", which is '
                    f'"{signal.name}" here; write {own}, in {signal.unit}',
                )
