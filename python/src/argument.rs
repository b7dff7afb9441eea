//! Arguments from Python, checked: each message names the argument, its value and the limit.

use clustercore::proto::policy::{Signal, Thresholds};
use clustercore::proto::time::Instant;
use clustercore::{Code, Error, Result};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// An error about an argument.
pub fn invalid(text: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, text)
}

/// An error about two settings that contradict each other.
pub fn contradiction(text: impl Into<String>) -> Error {
    Error::new(Code::BadConfiguration, text)
}

/// A length of time from seconds: 0 or more, and finite.
pub fn seconds(name: &str, value: f64) -> Result<Duration> {
    match Duration::try_from_secs_f64(value) {
        Ok(length) if length <= SECONDS_MAX => Ok(length),
        _ => Err(invalid(format!("{name} is {value} s; it must be 0 to {}", SECONDS_MAX.as_secs()))),
    }
}

/// A point of a clock that does not go back, in seconds.
pub fn moment(name: &str, value: f64) -> Result<Instant> {
    match Duration::try_from_secs_f64(value) {
        Ok(since) => Ok(Instant::ZERO + since),
        Err(_) => Err(invalid(format!("{name} is {value} s; it must be 0 or more"))),
    }
}

/// A whole number within bounds.
pub fn count<T>(name: &str, value: i64, range: RangeInclusive<T>) -> Result<T>
where
    T: TryFrom<i64> + PartialOrd + std::fmt::Display + Copy,
{
    match T::try_from(value) {
        Ok(count) if range.contains(&count) => Ok(count),
        _ => Err(invalid(format!("{name} is {value}; it must be {} to {}", range.start(), range.end()))),
    }
}

/// A ratio of 0 to 1, in per mille.
pub fn per_mille(name: &str, value: f64) -> Result<u32> {
    if (0.0..=1.0).contains(&value) {
        return Ok((value * 1000.0).round() as u32);
    }
    Err(invalid(format!("{name} is {value}; it must be 0 to 1")))
}

/// Thresholds in the signal's unit; what is `None` is the signal's default. Errors: `InvalidArgument`.
pub fn thresholds(signal: Signal, medium: Option<f64>, high: Option<f64>) -> Result<Thresholds> {
    let default = signal.thresholds();
    let one = |name: &str, given: Option<f64>, default: Option<u32>| match (given, default) {
        (Some(value), _) => per_core(name, value),
        (None, Some(default)) => Ok(default),
        (None, None) => Err(invalid(format!("{name} must be given with the signal \"latency\""))),
    };
    Ok(Thresholds {
        medium: one("medium_per_core", medium, default.map(|default| default.medium))?,
        high: one("high_per_core", high, default.map(|default| default.high))?,
    })
}

/// Medium must not be above High.
pub fn ordered(thresholds: Thresholds) -> Result<()> {
    let (medium, high) = (f64::from(thresholds.medium) / 100.0, f64::from(thresholds.high) / 100.0);
    if medium > high {
        let text = format!("medium_per_core is {medium}; it must not be above high_per_core ({high})");
        return Err(contradiction(text));
    }
    Ok(())
}

/// A sample of a signal in its unit (share of the cores, milliseconds), in per mille.
pub fn reading(name: &str, value: f64) -> Result<u32> {
    if (0.0..=READING_MAX).contains(&value) {
        return Ok((value * 1000.0).round() as u32);
    }
    Err(invalid(format!("{name} is {value}; it must be 0 to {READING_MAX}")))
}

/// Requests in flight per core (share of the cores, milliseconds), as the percentage that thresholds are kept in.
pub fn per_core(name: &str, value: f64) -> Result<u32> {
    if (0.0..=PER_CORE_MAX).contains(&value) {
        return Ok((value * 100.0).round() as u32);
    }
    Err(invalid(format!("{name} is {value}; it must be 0 to {PER_CORE_MAX}")))
}

/// `host:port` with a numeric host.
pub fn address(text: &str) -> Result<SocketAddr> {
    text.parse().map_err(|_| {
        let form = "it must be like 127.0.0.1:8080 or [::1]:8080; names are not resolved here";
        Error::new(Code::BadAddress, format!("address is {text:?}; {form}"))
    })
}

/// One of several words.
pub fn choice<T: Copy>(name: &str, value: &str, choices: &[(&str, T)]) -> Result<T> {
    choices.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        invalid(format!("{name} is {value:?}; it must be {}", words.join(", ")))
    })
}

/// A year: longer is a mistake of unit.
const SECONDS_MAX: Duration = Duration::from_secs(366 * 86_400);
const PER_CORE_MAX: f64 = 1_000_000.0;
const READING_MAX: f64 = 4_000_000.0;

/// What a load is measured by, by its word.
pub const SIGNALS: &[(&str, Signal)] =
    &[("in_flight", Signal::InFlight), ("cpu", Signal::Cpu), ("latency", Signal::Latency)];
