//! The command line: one file a command. Reads the configuration, runs a command, sets the exit code.
//!
//! Exit codes: 0 done, 1 failed while running, 2 not understood or not usable as configured.

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{self, ConfigError, ConfigWarning, LoadedConfig};

mod config_command;
mod health;
mod options;
mod serve;
mod token;

/// What could not be understood, or not be used as it is configured.
const MISUSED: u8 = 2;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return refuse_arguments(&error),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return refuse_arguments(&error),
    };
    let loaded = match load(&matches) {
        Ok(loaded) => loaded,
        Err(problems) => return refuse_configuration(&problems),
    };
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(loaded),
        Command::Token(request) => token::run(&request, &loaded.config.auth),
        Command::Health => health::run(loaded.config.listen),
        Command::Config(arguments) => config_command::run(&arguments, &loaded),
    }
}

#[derive(Parser)]
#[command(
    name = "switchboard",
    version,
    about = "A realtime server you run instead of write: rooms, numbered messages and history for any socket.io client.",
    after_help = options::AFTER_HELP
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve; what happens without a command too.
    Serve,
    /// Ask the server that this configuration is of whether it is ready, and say why not; exit code 0 if it is.
    Health,
    /// Print a token signed with the configured secret.
    Token(token::TokenRequest),
    /// Print the effective configuration, or every problem in it.
    Config(config_command::ConfigArguments),
}

/// The commands with the options that each of them takes.
fn command() -> clap::Command {
    options::add(Cli::command(), |_| true)
        .mut_subcommand("serve", |serve| options::add(serve, |_| true))
        .mut_subcommand("health", |health| {
            options::add(health, |option| option.path() == "listen")
        })
        .mut_subcommand("config", |config| options::add(config, |_| true))
        .mut_subcommand("token", |token| {
            options::add(token, |option| option.section == "auth")
        })
}

fn load(matches: &ArgMatches) -> Result<LoadedConfig, ConfigError> {
    let loaded = config::load(&options::sources(matches))?;
    warn(&loaded.warnings);
    Ok(loaded)
}

fn refuse_arguments(error: &clap::Error) -> ExitCode {
    // Help and version come this way too, with exit code 0. A closed terminal cannot be told.
    let _ = error.print();
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn refuse_configuration(problems: &ConfigError) -> ExitCode {
    warn(&problems.warnings);
    refuse(problems)
}

/// Says what stands in the way, and that it is not a failure of the program.
fn refuse(reason: &impl std::fmt::Display) -> ExitCode {
    eprintln!("error: {reason}");
    ExitCode::from(MISUSED)
}

/// Says what went wrong while running.
fn fail(reason: &impl std::fmt::Display) -> ExitCode {
    eprintln!("error: {reason}");
    ExitCode::FAILURE
}

fn warn(warnings: &[ConfigWarning]) {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
}

#[cfg(test)]
mod tests;
