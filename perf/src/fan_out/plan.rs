//! The command line of the load driver.

use super::body::BODY_BYTES_MIN;
use super::protocol::ITEM_BYTES_MAX;
use clap::{Parser, ValueEnum};
use std::net::SocketAddr;
use std::time::Duration;

/// Emits events from one publisher to many subscribers through a server, and counts what arrives.
///
/// With --rate batches are due at a pace, whatever the server does; without it the next batch leaves when every subscriber has the
/// one before. Prints one JSON line.
#[derive(Parser, Clone, Debug)]
#[command(name = "clustercore-event-load", version)]
pub struct Plan {
    /// What the server speaks.
    #[arg(long, value_enum)]
    pub protocol: Speech,
    /// Where the server is.
    #[arg(long)]
    pub to: SocketAddr,
    /// Connections that every event goes to.
    #[arg(long, default_value_t = 50)]
    pub subscribers: usize,
    /// Subscribers more that never read.
    #[arg(long, default_value_t = 0)]
    pub stalled: usize,
    /// Events that leave together.
    #[arg(long, default_value_t = 1)]
    pub batch: usize,
    /// Bytes of an event's body.
    #[arg(long, default_value_t = 64)]
    pub bytes: usize,
    /// Batches per second; without it as many as go through one after the other.
    #[arg(long)]
    pub rate: Option<f64>,
    /// How long is measured.
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// Seconds before that are not measured.
    #[arg(long, default_value_t = 0.2)]
    pub warmup_seconds: f64,
    /// Seconds that events may take before they are lost.
    #[arg(long, default_value_t = 10.0)]
    pub timeout: f64,
    /// Processes of the server, whose CPU time is reported; repeat or separate by commas.
    #[arg(long = "watch-pid", value_delimiter = ',')]
    pub watch_pids: Vec<u32>,
    /// Emit to disk from one supplier, so many at once unacknowledged; there are no subscribers.
    #[arg(long, conflicts_with = "hold")]
    pub in_flight: Option<usize>,
    /// Emit nothing: say when all subscribers are there, and keep them for --seconds.
    #[arg(long)]
    pub hold: bool,
}

/// The protocols that the load driver speaks.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// That of `floor-fan-out`.
    Bare,
    /// Redis.
    Redis,
    /// NATS.
    Nats,
    /// MQTT 3.1.1.
    Mqtt,
    /// Our channel server.
    Clustercore,
}

impl Plan {
    /// Checks the numbers.
    ///
    /// Errors: a text that names the option, its value and the limit.
    pub fn check(&self) -> Result<(), String> {
        for (name, value, most) in [
            ("--subscribers", self.subscribers, 100_000),
            ("--batch", self.batch, 65_536),
            ("--in-flight", self.in_flight.unwrap_or(1), 65_536),
        ] {
            if value == 0 || value > most {
                return Err(format!("{name} is {value}, 1 to {most} allowed"));
            }
        }
        if !(BODY_BYTES_MIN..=BODY_BYTES_MAX).contains(&self.bytes) {
            return Err(format!("--bytes is {}, {BODY_BYTES_MIN} to {BODY_BYTES_MAX} allowed", self.bytes));
        }
        for (name, value) in [("--seconds", self.seconds), ("--timeout", self.timeout)] {
            if !(value > 0.0 && value < 1e5) {
                return Err(format!("{name} is {value}, a number above 0 and below 100000 needed"));
            }
        }
        if !(0.0..1e5).contains(&self.warmup_seconds) {
            return Err(format!("--warmup-seconds is {}, 0 to 100000 allowed", self.warmup_seconds));
        }
        match self.rate {
            Some(rate) if !(rate > 0.0 && rate <= 1e6) => {
                Err(format!("--rate is {rate}, above 0 and at most 1000000 needed"))
            }
            _ => Ok(()),
        }
    }

    /// How long a settled run may take to settle.
    pub fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.timeout)
    }
}

/// Leaves room for every protocol's head.
const BODY_BYTES_MAX: usize = ITEM_BYTES_MAX - 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &[&str]) -> Plan {
        let always = ["clustercore-event-load", "--protocol", "bare", "--to", "127.0.0.1:1"];
        Plan::parse_from([&always, words].concat())
    }

    #[test]
    fn senseless_numbers_are_named() {
        assert_eq!(plan(&[]).check(), Ok(()));
        for words in [
            ["--subscribers", "0"],
            ["--batch", "100000"],
            ["--bytes", "15"],
            ["--in-flight", "0"],
            ["--seconds", "nan"],
            ["--timeout", "0"],
            ["--warmup-seconds", "inf"],
            ["--rate", "0"],
        ] {
            let error = plan(&words).check().unwrap_err();
            assert!(error.contains(words[0]), "{error}");
        }
    }
}
