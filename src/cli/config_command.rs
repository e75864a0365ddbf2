//! `switchboard config`: prints the effective configuration with the source of each value.

mod room;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use crate::{
    app::install_default_provider,
    config::{self, Config, ConfigError, LoadedConfig, Problem},
    hooks::Hooks,
    model::RoomName,
    telemetry::Metrics,
};

/// The flags of `switchboard config`, in addition to the options.
#[derive(clap::Args)]
pub(super) struct ConfigArguments {
    /// Only check whether the configuration is valid.
    #[arg(long)]
    check: bool,
    /// With --check: also check whether the endpoints of hooks can be reached.
    #[arg(long, requires = "check")]
    online: bool,
    /// Print what applies in a room, and where it is set.
    #[arg(long, value_name = "NAME", conflicts_with = "check", value_parser = parse_room)]
    room: Option<RoomName>,
    /// With --room: also print what the identity of this token may do there.
    #[arg(long, requires = "room")]
    token: Option<String>,
}

fn parse_room(text: &str) -> Result<RoomName, String> {
    RoomName::parse(text).map_err(|error| error.message().to_owned())
}

/// Prints a configuration that has been checked already.
pub(super) fn run(arguments: &ConfigArguments, loaded: &LoadedConfig) -> ExitCode {
    if arguments.check
        && let Err(error) = loaded.config.tls.check_files()
    {
        return super::reject_config(&ConfigError::from(vec![Problem::from(error)]));
    }
    if arguments.online
        && let Err(unreachable) = reach_endpoints(&loaded.config)
    {
        return super::fail(&unreachable);
    }
    let text = if let Some(room) = &arguments.room {
        match room::describe(loaded, room, arguments.token.as_deref()) {
            Ok(text) => text,
            Err(error) => return super::reject(&error),
        }
    } else if arguments.check {
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

/// Checks that the endpoints of hooks can be reached.
///
/// # Errors
/// Those that cannot, each with its reason, as lines.
fn reach_endpoints(config: &Config) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("starting the runtime failed: {error}"))?;
    install_default_provider();
    let hooks = Hooks::open(&config.hooks, "config", &Metrics::new())
        .map_err(|problems| ConfigError::from(problems).to_string())?;
    let unreachable: Vec<_> = runtime
        .block_on(hooks.reach())
        .into_iter()
        .filter_map(|(url, reached)| Some(format!("hooks: {url}: {}", reached.err()?)))
        .collect();
    match unreachable.is_empty() {
        true => Ok(()),
        false => Err(unreachable.join("\nerror: ")),
    }
}

/// Who owns which event that clients send, as comments of the printed file.
fn event_owners(config: &Config) -> String {
    let mut text = String::from("\n# Events that clients send, by namespace and owner:\n");
    for line in config.event_owners().describe().lines() {
        text += &format!("#   {line}\n");
    }
    text
}
