//! The C interface of clustercore.
