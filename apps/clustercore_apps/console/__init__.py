"""The web console of a front end: page, live stream, JSON interface, metrics, health."""
