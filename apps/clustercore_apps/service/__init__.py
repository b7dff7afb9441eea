"""The service platform: front end, load manager, node agent, pool (see docs/operators/service-platform.md)."""
