//! The Wireshark dissector of the protocol, against what our own decoder says of the same packets.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Outcome;
use crate::artefacts::SELECTION;
use crate::{process, workspace};

/// A test of the protocol writes captures of conversations, and one line for each packet; tshark must say the same.
pub fn run(_quick: bool) -> Result<Outcome> {
    if workspace::find_program("tshark").is_none() {
        return Ok(Outcome::Skipped("tshark is not installed (Debian: tshark)".to_owned()));
    }
    let folder = workspace::target().join("captures");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut test = process::cargo(["test", "--quiet"]);
    test.args(SELECTION).args(["--test", "sim_datagram", "--test", "security", "capture"]);
    process::run(test.env("CLUSTERCORE_CAPTURES", &folder), Duration::from_secs(600))?;
    let script = workspace::root().join("docs/protocol/clustercore.lua");
    // Clear packets are found on any port; protected ones of a peer that has moved only by the port of the other.
    // Sealed ones are read with the log of their keys.
    for (name, port) in [("clear", 0), ("keyed", PORT), ("sealed", 0)] {
        let expected = fs::read_to_string(folder.join(name).with_extension("txt"))?;
        let mut tshark = process::command("tshark");
        tshark.arg("-X").arg(format!("lua_script:{}", script.display()));
        tshark.arg("-o").arg(format!("clustercore.port:{port}"));
        let keys = folder.join(name).with_extension("keys");
        if keys.exists() {
            tshark.arg("-o").arg(format!("clustercore.keys:{}", keys.display()));
        }
        tshark.arg("-r").arg(folder.join(name).with_extension("pcap"));
        tshark.args(["-T", "fields", "-e", "_ws.col.Protocol", "-e", "_ws.col.Info", "-e", "_ws.expert"]);
        let found = process::capture(&mut tshark, Duration::from_secs(60))?;
        let expected: Vec<String> = expected.lines().map(|line| format!("clustercore\t{line}")).collect();
        let found: Vec<&str> = found.lines().map(str::trim_end).collect();
        for (index, (expected, found)) in expected.iter().zip(&found).enumerate() {
            ensure!(expected == found, "packet {} of {name}: {found:?} instead of {expected:?}", index + 1);
        }
        ensure!(expected.len() == found.len(), "{name}: {} lines for {}", found.len(), expected.len());
        println!("{name}: {} packets as our own decoder reads them", found.len());
    }
    Ok(Outcome::Passed)
}

/// Of the simulator's second node.
const PORT: u16 = 4001;
