//! What this kernel offers, and what is counted.

use crate::argument::count;
use crate::errors::Answer;
use crate::exit::detached;
use clustercore::sys::probe::Limit;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What this kernel offers: which driver would run and why, its features, and the settings that matter for
/// it.
///
/// `kernel_advice` is what to change about the kernel, None when nothing. Limits are (soft, hard), None where there is none; a setting that this kernel does not have is None.
#[pyfunction]
pub fn probe(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let (found, _busy) = detached(py, clustercore::sys::probe::probe);
    let answer = PyDict::new(py);
    let limit = |limit: Limit| (limit.soft, limit.hard);
    answer.set_item("kernel_release", found.kernel_release)?;
    answer.set_item("kernel_advice", found.kernel_advice)?;
    answer.set_item("driver", found.driver.map(|kind| kind.name()))?;
    answer.set_item("driver_report", found.driver_report)?;
    let features = PyDict::new(py);
    for (name, present) in found.features.list() {
        features.set_item(name, present)?;
    }
    answer.set_item("features", features)?;
    answer.set_item("io_uring_disabled", found.io_uring_disabled)?;
    answer.set_item("memlock_bytes", limit(found.memlock))?;
    answer.set_item("nofile", limit(found.nofile))?;
    answer.set_item("tcp_congestion", found.tcp_congestion)?;
    answer.set_item("tcp_congestion_available", found.tcp_congestion_available)?;
    answer.set_item("guest_halt_poll_ns", found.guest_halt_poll_ns)?;
    Ok(answer)
}

/// What is counted: (label, unit, meaning) of each counter, in a fixed order.
#[pyfunction]
pub fn counters() -> Vec<(&'static str, &'static str, &'static str)> {
    let table = clustercore::counters::COUNTERS.iter();
    table.map(|(_, label, unit, meaning)| (*label, *unit, meaning.trim())).collect()
}

/// The addresses of a host, "ip:port" each, in the order in which they should be tried.
///
/// Waits for the system as long as that takes, without the interpreter. Raises Unreachable, InvalidArgument.
#[pyfunction]
pub fn resolve(py: Python<'_>, host: &str, port: i64) -> Answer<Vec<String>> {
    let port: u16 = count("port", port, 0..=u16::MAX)?;
    let (found, _busy) = detached(py, || clustercore::resolve(host, port));
    Ok(found?.iter().map(ToString::to_string).collect())
}
