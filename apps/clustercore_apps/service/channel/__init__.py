"""The front end as a supplier of events: what it decides, what its nodes are doing."""
