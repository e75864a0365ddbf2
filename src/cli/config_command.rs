//! `switchboard config`: prints the effective configuration with the source of each value.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use crate::config::{self, Config, LoadedConfig};

/// The flags of `switchboard config`, in addition to the options.
#[derive(clap::Args)]
pub(super) struct ConfigArguments {
    /// Only check whether the configuration is valid.
    #[arg(long)]
    check: bool,
}

/// Prints a configuration that has been checked already.
pub(super) fn run(arguments: &ConfigArguments, loaded: &LoadedConfig) -> ExitCode {
    let text = if arguments.check {
        "configuration is valid\n".to_owned()
    } else {
        let printed = config::print(&loaded.config, &loaded.value_sources);
        printed + &event_owners(&loaded.config)
    };
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Who owns which event that clients send, as comments of the printed file.
fn event_owners(config: &Config) -> String {
    let mut text = String::from("\n# Events that clients send, by namespace and owner:\n");
    for line in config.socketio.event_owners().describe().lines() {
        text += &format!("#   {line}\n");
    }
    text
}
