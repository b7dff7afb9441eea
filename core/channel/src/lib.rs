//! The channel engine: structured events from suppliers to consumers that do not know each other.
//!
//! A pure machine: it holds no socket and no clock. Source: the event channel of the cluster notification service, after
//! CORBA Notification; events are those of CloudEvents 1.0.
