"""A whole cluster on this machine, to look at and to test with."""
