//! Runs `switchboard load` against a server, and reads its report.

use std::process::Command;

use serde_json::Value;

use super::process::{Process, Result};

/// What `switchboard load` found out.
pub struct Report(Value);

impl Report {
    /// A number of the report, by its JSON pointer.
    pub fn number(&self, pointer: &str) -> Result<f64> {
        let value = self.0.pointer(pointer).and_then(Value::as_f64);
        value.ok_or_else(|| format!("the load reports no {pointer}").into())
    }

    /// What was lost, repeated, out of order or refused, or who did not get in.
    pub fn faults(&self) -> Option<String> {
        let faults = [
            ("/connect/missing", "clients did not join"),
            ("/messages/refused", "messages were refused"),
            ("/deliveries/lost", "deliveries were lost"),
            ("/deliveries/repeated", "deliveries were repeated"),
            ("/deliveries/disordered", "deliveries were out of order"),
            ("/faults/dropped", "connections were closed by the server"),
            (
                "/faults/started_anew",
                "clients came back without their session",
            ),
        ];
        let faults = faults.map(|(pointer, what)| (self.number(pointer).unwrap_or(0.0), what));
        let faults = faults.into_iter().filter(|(count, _)| *count > 0.0);
        let mut faults: Vec<_> = faults
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        // The load gives it up then, and reports how long it has waited.
        let storm = self.number("/faults/storms_ms/0").unwrap_or(0.0);
        if storm > 30_000.0 {
            faults.push("not all clients were back after 30 s".to_owned());
        }
        (!faults.is_empty()).then(|| faults.join(", "))
    }
}

/// Loads the servers with these addresses.
///
/// # Errors
/// The load has nothing to report.
pub fn run<T: AsRef<str>>(addresses: &[T], options: &[&str]) -> Result<Report> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.arg("load");
    for address in addresses {
        command.arg(format!("http://{}", address.as_ref()));
    }
    command.args(options).arg("--json");
    let output = Process::output(&mut command)?;
    let report = serde_json::from_str(&output.stdout)
        .map_err(|_| format!("the load failed: {}", output.stderr.trim()))?;
    Ok(Report(report))
}
