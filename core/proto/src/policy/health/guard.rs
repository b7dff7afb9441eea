//! How many back ends may be ejected at the same time.

/// Keeps ejections from taking out more back ends than the rest can stand for.
///
/// The owner asks after each [`HealthChange::Ejected`](super::HealthChange::Ejected) and calls [`Health::pardon`](super::Health::pardon) when the answer is no: when
/// most back ends look broken, it is likely the request, the network or the front end that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectionGuard {
    /// The share of back ends that may be out at the same time, in per mille.
    pub share_per_mille_max: u32,
    /// Back ends that stay, however bad; 0 where a front end can serve alone.
    pub keep_min: usize,
}

impl EjectionGuard {
    /// True when one more of `total` may go out while `ejected` are out already.
    ///
    /// The share is rounded up, so that one of two or three may go at a third or more.
    pub fn allows(&self, ejected: usize, total: usize) -> bool {
        let share_max = (total as u64 * u64::from(self.share_per_mille_max)).div_ceil(1000);
        (ejected as u64) < share_max && ejected + 1 + self.keep_min <= total
    }
}

/// Half of them, but never the last one.
impl Default for EjectionGuard {
    fn default() -> Self {
        EjectionGuard { share_per_mille_max: 500, keep_min: 1 }
    }
}
