//! Links the probe without start-up files and libraries, and keeps unused code, so that a function of the
//! protocol crate which needs libc is found even when the probe does not call it.

fn main() {
    for argument in ["-nostdlib", "-nostartfiles", "-static", "-no-pie", "-Wl,--no-gc-sections"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
