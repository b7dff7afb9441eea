//! The load policy: who serves the next request, when a back end is borrowed and given back, who is trusted.
//!
//! One front end puts these machines together; each stands alone, takes time and seeds as arguments and has a
//! fixed bound on its memory. `docs/policy.md` has a picture and the defaults of each.
//!
//! | machine | question it answers |
//! | --- | --- |
//! | [`Router`] | which back end gets this request |
//! | [`Scaler`] | does the child list grow or shrink now, and why |
//! | [`AutoThresholds`] | where Low ends and High begins, learnt from latency against concurrency |
//! | [`Health`], [`EjectionGuard`] | is this back end trusted, on trial, or ejected |
//! | [`Pool`] | which service holds which node, and who must give one back |
//! | [`Lifecycle`] | where a back end stands between idle and stopped |
//! | [`RequestQueue`] | who waits while everything is High, and for how long |

mod auto_thresholds;
mod backoff;
mod health;
mod lifecycle;
mod load;
mod pool;
mod request_queue;
mod router;
mod scaler;

pub use auto_thresholds::{AutoConfig, AutoThresholds};
pub use backoff::Backoff;
pub use health::{
    Cause, EjectionGuard, FailureKind, Health, HealthChange, HealthConfig, HealthState, ProbeConfig,
};
pub use lifecycle::{Lifecycle, LifecycleConfig, LifecycleEvent, LifecycleState, Refusal};
pub use load::{BackendKey, Level, Load, Signal, Thresholds};
pub use pool::{
    Answer, Lease, NodeKey, Pool, PoolConfig, PoolError, RefuseReason, RenewError, Renewal, ServiceKey, Share,
};
pub use request_queue::{Full, RequestQueue};
pub use router::{Candidates, Pick, Policy, Router, RouterConfig};
pub use scaler::{AddReason, ChildSample, Decision, Readings, RemoveReason, Sample, Scaler, ScalerConfig};
