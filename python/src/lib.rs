//! The Python module of clustercore.
