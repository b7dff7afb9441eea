"""The configuration of a front end: one TOML file, checked before anything starts."""

from clustercore_apps.service.config.channel import ChannelConfig
from clustercore_apps.service.config.model import (
    FrontConfig,
    HealthConfig,
    NodeConfig,
    ServiceConfig,
    load_config,
    parse_config,
)
from clustercore_apps.service.config.thresholds import ThresholdConfig

__all__ = [
    "ChannelConfig",
    "FrontConfig",
    "HealthConfig",
    "NodeConfig",
    "ServiceConfig",
    "ThresholdConfig",
    "load_config",
    "parse_config",
]
