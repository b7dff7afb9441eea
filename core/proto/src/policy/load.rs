//! Load and its three levels.

/// Names a back end for as long as it is on a child list. The owner gives the numbers out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendKey(pub u32);

/// How busy one server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Requests sent to it and not yet answered.
    pub in_flight: u32,
    /// Cores of its node; 0 counts as 1.
    pub cores: u32,
    /// Its share beside the others', in any unit that all of them use; 0 counts as 1. To give a back end
    /// nothing, make it ineligible.
    pub weight: u32,
}

impl Load {
    /// Requests in flight per core, in hundredths: 150 is one and a half requests per core. Saturates.
    pub fn per_core_percent(self) -> u32 {
        clamp(u64::from(self.in_flight) * 100 / u64::from(self.cores.max(1)))
    }
}

/// What a level is computed from.
///
/// All three are compared with the same [`Thresholds`], as a percentage of a scale. `InFlight` is known to the
/// front end at each moment; the other two are samples, so a burst between two samples goes unseen: give such
/// back ends a limit as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Signal {
    /// Requests in flight per core; 100 % is one request per core.
    #[default]
    InFlight,
    /// CPU time used by the node; 100 % is all of its cores. The sample is in per mille.
    Cpu,
    /// Response time; 100 % is the service's target. The sample is in per mille of the target.
    Latency,
}

impl Signal {
    /// The percentage that this signal gives: from `load`, or from the sample `reading_per_mille`.
    pub fn percent(self, load: Load, reading_per_mille: u32) -> u32 {
        match self {
            Signal::InFlight => load.per_core_percent(),
            Signal::Cpu | Signal::Latency => reading_per_mille / 10,
        }
    }

    /// True when the signal moves only with each sample, not with each request.
    pub fn is_sampled(self) -> bool {
        self != Signal::InFlight
    }

    /// Thresholds that hold where none are configured. `None` for `Latency`: what is long depends on the service.
    pub fn thresholds(self) -> Option<Thresholds> {
        match self {
            Signal::InFlight => Some(Thresholds::default()),
            Signal::Cpu => Some(Thresholds { medium: 50, high: 80 }),
            Signal::Latency => None,
        }
    }
}

/// Low: send more. Medium: busy, in its turn. High: gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Below the medium threshold.
    Low,
    /// From the medium threshold to below the high one.
    Medium,
    /// At the high threshold or above.
    High,
}

/// Where Low ends and where High begins, as a percentage of the signal's scale. With the default signal:
/// requests in flight per core times 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// From here on a load is Medium.
    pub medium: u32,
    /// From here on a load is High. At or below `medium`, there is no Medium.
    pub high: u32,
}

impl Thresholds {
    /// A single threshold: below it Low, from there on High. For comparison; two thresholds reconfigure less.
    pub const fn one_threshold(per_core_percent: u32) -> Thresholds {
        Thresholds { medium: per_core_percent, high: per_core_percent }
    }

    /// The level of `load` by requests in flight per core.
    pub fn level(self, load: Load) -> Level {
        self.level_of(load.per_core_percent())
    }

    /// The level of a percentage, see [`Signal::percent`].
    pub fn level_of(self, percent: u32) -> Level {
        if percent >= self.high {
            Level::High
        } else if percent >= self.medium {
            Level::Medium
        } else {
            Level::Low
        }
    }
}

/// Two requests per core keep a core busy while answers are on their way. High at eight was measured as the
/// point beyond which forwarding short requests gets no cheaper, and waiting only longer: docs/policy.md.
impl Default for Thresholds {
    fn default() -> Self {
        Thresholds { medium: 200, high: 800 }
    }
}

/// A percentage that may not fit 32 bits, as the largest that does.
pub(super) fn clamp(percent: u64) -> u32 {
    u32::try_from(percent).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(in_flight: u32, cores: u32) -> Load {
        Load { in_flight, cores, weight: 1 }
    }

    #[test]
    fn levels_begin_at_their_thresholds() {
        let thresholds = Thresholds { medium: 150, high: 300 };
        let levels = [0, 2, 3, 5, 6, 100].map(|in_flight| thresholds.level(load(in_flight, 2)));
        assert_eq!(levels, [Level::Low, Level::Low, Level::Medium, Level::Medium, Level::High, Level::High]);
    }

    #[test]
    fn one_threshold_knows_no_medium() {
        let thresholds = Thresholds::one_threshold(200);
        assert_eq!(thresholds.level(load(1, 1)), Level::Low);
        assert_eq!(thresholds.level(load(2, 1)), Level::High);
    }

    #[test]
    fn extreme_loads_saturate() {
        assert_eq!(load(u32::MAX, 0).per_core_percent(), u32::MAX);
        assert_eq!(load(0, 0).per_core_percent(), 0);
    }

    #[test]
    fn sampled_signals_ignore_requests_in_flight() {
        assert_eq!(Signal::Cpu.percent(load(50, 1), 850), 85);
        assert_eq!(Signal::InFlight.percent(load(50, 1), 850), 5000);
        assert!(Signal::Latency.is_sampled() && !Signal::InFlight.is_sampled());
    }

    #[test]
    fn every_signal_with_a_scale_of_its_own_has_thresholds() {
        for signal in [Signal::InFlight, Signal::Cpu] {
            let thresholds = signal.thresholds().expect("has a scale of its own");
            assert!(thresholds.medium < thresholds.high, "{signal:?}: {thresholds:?}");
        }
        assert_eq!(Signal::InFlight.thresholds(), Some(Thresholds::default()));
        assert_eq!(Signal::Latency.thresholds(), None);
    }
}
