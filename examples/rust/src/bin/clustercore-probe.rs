//! What the core finds on this machine: kernel, driver, features, limits. `cargo xtask doctor` prints it.

use clustercore::sys::probe::probe;

fn main() {
    print!("{}", probe());
}
