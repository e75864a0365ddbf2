//! Socket.IO's own server, in `benches/compare/node`: its packages are installed when it is first used.

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;

use super::support::process::{Process, Result, Server};

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "benches", "compare", "node"]
        .iter()
        .collect()
}

/// Installs what the server needs, if it is not there yet. Returns the versions of Node and Socket.IO.
///
/// # Errors
/// Node or npm is missing, or the packages cannot be installed.
pub fn prepare() -> Result<String> {
    let node = Process::output(Command::new("node").arg("--version"))?.stdout;
    let package = folder().join("node_modules/socket.io/package.json");
    if !package.exists() {
        eprintln!("installing Socket.IO: npm ci");
        let mut install = Command::new("npm");
        install.args(["ci", "--no-audit", "--no-fund"]);
        let output = Process::output(install.current_dir(folder()))?;
        if !package.exists() {
            return Err(format!("npm ci failed: {}", output.stderr.trim()).into());
        }
    }
    let package: Value = serde_json::from_str(&fs::read_to_string(package)?)?;
    let version = package["version"].as_str().unwrap_or_default();
    Ok(format!("Socket.IO {version} on Node {}", node.trim()))
}

/// Starts the server.
pub fn start(options: &[&str]) -> Result<Server> {
    let mut command = Command::new("node");
    command.env("NODE_ENV", "production");
    command.arg(folder().join("server.mjs")).args(options);
    Server::run(&mut command)
}
