//! The load policy: who serves the next request, when a back end is borrowed and given back, who is trusted.
//!
//! One front end puts these machines together; each stands alone, takes time and seeds as arguments and has a
//! fixed bound on its memory. `docs/policy.md` has a picture and the defaults of each.
//!
//! | machine | question it answers |
//! | --- | --- |
//! | [`Router`] | which back end gets this request |
//! | [`Scaler`] | does the child list grow or shrink now, and why |
//! | [`Health`], [`EjectionGuard`] | is this back end trusted, on trial, or ejected |
//! | [`Lifecycle`] | where a back end stands between idle and stopped |
//! | [`RequestQueue`] | who waits while everything is High, and for how long |

mod backoff;
mod health;
mod lifecycle;
mod load;
mod request_queue;
mod router;
mod scaler;

pub use backoff::Backoff;
pub use health::{
    Cause, EjectionGuard, FailureKind, Health, HealthChange, HealthConfig, HealthState, ProbeConfig,
};
pub use lifecycle::{Lifecycle, LifecycleConfig, LifecycleEvent, LifecycleState, Refusal};
pub use load::{BackendKey, Level, Load, Signal, Thresholds};
pub use request_queue::{Full, RequestQueue};
pub use router::{Candidates, Pick, Policy, Router, RouterConfig};
pub use scaler::{AddReason, ChildSample, Decision, Readings, RemoveReason, Sample, Scaler, ScalerConfig};
