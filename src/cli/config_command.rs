//! `switchboard config`: what is in effect, and why.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use crate::config::{self, LoadedConfig};

/// The flags of `switchboard config`, beside the options of the configuration.
#[derive(clap::Args)]
pub(super) struct ConfigArguments {
    /// Only say whether the configuration is good.
    #[arg(long)]
    check: bool,
}

/// Prints a configuration that has already been found good.
pub(super) fn run(arguments: &ConfigArguments, loaded: &LoadedConfig) -> ExitCode {
    let text = if arguments.check {
        "configuration is good\n".to_owned()
    } else {
        config::print(&loaded.config, &loaded.value_sources)
    };
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
