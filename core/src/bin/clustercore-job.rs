//! The job handler of a back end: takes requests in messages and hands them to the service beside it.
//!
//! ```text
//! clustercore-job --listen 10.0.0.5:7000 --service 127.0.0.1:8080 --key FILE --peers FILE
//!     [--insecure yes] [--driver auto|uring|epoll] [--spin-us N] [--drain-seconds N]
//! ```
//!
//! `--key` holds its private key, `--peers` the public keys of front ends, one a line (default: all who have a key); without a key messages
//! are clear, which outside loopback wants `--insecure yes`. With SIGTERM or SIGINT it takes no more requests, finishes those
//! under way for at most `--drain-seconds` (default 5), says goodbye to its front ends, and ends. What it prints first is its address.

use clustercore::io::{DriverChoice, Waker};
use clustercore::job::{Handler, HandlerConfig};
use clustercore::security::{Access, Mode, PrivateKey};
use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn main() {
    if let Err(error) = run() {
        eprintln!("clustercore-job: {error}");
        std::process::exit(2);
    }
}

/// What the command line says.
struct Options {
    listen: SocketAddr,
    service: SocketAddr,
    key: Option<PathBuf>,
    peers: Option<PathBuf>,
    insecure: bool,
    driver: DriverChoice,
    spin: Duration,
    drain: Duration,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, Box<dyn Error>> {
        let (mut listen, mut service) = (None, None);
        let (mut key, mut peers, mut insecure) = (None, None, false);
        let (mut driver, mut spin, mut drain) = (DriverChoice::Auto, Duration::ZERO, Duration::from_secs(5));
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--listen" => listen = Some(value.parse()?),
                "--service" => service = Some(value.parse()?),
                "--key" => key = Some(value.into()),
                "--peers" => peers = Some(value.into()),
                "--insecure" => insecure = value == "yes",
                "--driver" => driver = value.parse()?,
                "--spin-us" => spin = Duration::from_micros(value.parse()?),
                "--drain-seconds" => drain = Duration::from_secs(value.parse()?),
                _ => return Err(format!("{name} is not an option").into()),
            }
        }
        let listen = listen.ok_or("--listen is missing: where front ends send to")?;
        let service = service.ok_or("--service is missing: where the service accepts")?;
        Ok(Options { listen, service, key, peers, insecure, driver, spin, drain })
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let mut config = HandlerConfig::new(options.service);
    config.insecure = options.insecure;
    if let Some(path) = &options.key {
        let access = options.peers.as_deref().map_or(Ok(Access::Any), Access::load)?;
        config.security = Some(Mode::Secure { key: PrivateKey::load(path)?, access });
    } else if options.peers.is_some() {
        return Err("--peers without --key: in clear nobody can be told from others".into());
    }
    // Before there is another thread, so that all of them leave these signals to the one that waits for them.
    block_signals();
    let mut handler = Handler::open(options.driver, options.spin, options.listen, config)?;
    println!("listening on {}", handler.address());
    std::io::stdout().flush()?;
    let is_told = Arc::new(AtomicBool::new(false));
    let waker = handler.waker().ok_or("the driver has no waker")?;
    let told = Arc::clone(&is_told);
    std::thread::spawn(move || wait_for_signal(&told, &waker));
    while !is_told.load(Ordering::Acquire) {
        handler.turn_for(None)?;
    }
    handler.end();
    let end = Instant::now() + options.drain;
    while !handler.is_ended() && Instant::now() < end {
        handler.turn_for(Some(Duration::from_millis(50)))?;
    }
    handler.close();
    let stats = handler.stats();
    println!(
        "{} requests, {} responses, {} failures, {} aborts, {} connections to the service",
        stats.requests, stats.responses, stats.failures, stats.aborts, stats.connects
    );
    Ok(())
}

fn ending_signals() -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: `set` is writable memory of a set's size, which the call fills in whole.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: filled in above.
    let mut set = unsafe { set.assume_init() };
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: `set` is a set, the number a signal.
        unsafe { libc::sigaddset(&mut set, signal) };
    }
    set
}

fn block_signals() {
    let set = ending_signals();
    // SAFETY: reads the set; the mask before is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
}

/// Waits for a signal to end, once, and rings the handler out of its wait.
fn wait_for_signal(is_told: &AtomicBool, waker: &Waker) {
    let (set, mut signal) = (ending_signals(), 0);
    // SAFETY: reads the set, writes the number.
    let result = unsafe { libc::sigwait(&set, &mut signal) };
    if result == 0 {
        // Release: who sees it finds nothing but the flag; the order does not matter.
        is_told.store(true, Ordering::Release);
        waker.wake();
    }
}
