//! Lock-free queues and leased buffers of clustercore.
