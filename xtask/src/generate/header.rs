//! The C header: `c-include/clustercore.h`, made by cbindgen from the crate in `ffi`.

use std::path::Path;

use anyhow::{Context, Result, anyhow};

/// Renders the header; `None` while `ffi/cbindgen.toml` does not exist.
pub fn render(root: &Path) -> Result<Option<String>> {
    let config_path = root.join("ffi/cbindgen.toml");
    if !config_path.exists() {
        return Ok(None);
    }
    let config = cbindgen::Config::from_file(&config_path).map_err(|reason| anyhow!(reason))?;
    let bindings = cbindgen::Builder::new()
        .with_crate(root.join("ffi"))
        .with_config(config)
        .generate()
        .context("cbindgen cannot read the crate in ffi")?;
    let mut bytes = Vec::new();
    bindings.write(&mut bytes);
    Ok(Some(String::from_utf8(bytes)?))
}
