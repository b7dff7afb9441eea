"""The service platform: front end, load manager, node agent, pool."""
