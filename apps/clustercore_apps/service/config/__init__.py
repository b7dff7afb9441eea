"""The configuration of a front end: one TOML file, checked before anything starts."""

from clustercore_apps.service.config.model import (
    FrontConfig,
    HealthConfig,
    NodeConfig,
    ServiceConfig,
    load_config,
    parse_config,
)

__all__ = ["FrontConfig", "HealthConfig", "NodeConfig", "ServiceConfig", "load_config", "parse_config"]
