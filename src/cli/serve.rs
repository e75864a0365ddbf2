//! `switchboard serve`: runs the server in the foreground until Ctrl-C or SIGTERM.

use std::{io::IsTerminal, process::ExitCode};

use crate::{
    app::{App, StartError, listen, stop_signal},
    config::{Config, LoadedConfig, LogFormat, LogSettings, Store},
};

/// Runs the server until the process receives a stop signal.
pub(super) fn run(loaded: LoadedConfig) -> ExitCode {
    start_log(&loaded.config.log);
    raise_open_files(&loaded.config);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return super::fail(&format_args!("starting the runtime failed: {error}")),
    };
    match runtime.block_on(serve(loaded.config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError::Config(error)) => super::reject_config(&error),
        Err(error) => super::fail(&format_args!("{error:?}")),
    }
}

async fn serve(config: Config) -> Result<(), StartError> {
    // Listen first: a second server on the same address must not touch the log of the first one.
    let address = config.listen;
    let listener = listen(address)?;
    let bound = listener
        .local_addr()
        .map_err(|source| StartError::Listen { address, source })?;
    let stop = stop_signal();
    let app = App::builder(config).build().await?;
    print!(
        "{}",
        StartupBanner {
            config: app.config(),
            address: bound
        }
    );
    app.run(listener, stop).await;
    Ok(())
}

/// Raises the soft limit of open files to the hard limit, and warns if that is less than the connections need.
fn raise_open_files(config: &Config) {
    let allowed = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(allowed) => allowed,
        Err(error) => {
            tracing::warn!(%error, "raising the limit of open files failed");
            return;
        }
    };
    if let Some(needed) = config.open_files().filter(|needed| *needed > allowed) {
        tracing::warn!(
            allowed,
            needed,
            "the system allows fewer open files than limits.connections needs: raise the hard limit (ulimit -Hn, LimitNOFILE= \
             of systemd, --ulimit of docker), or lower limits.connections"
        );
    }
}

fn start_log(settings: &LogSettings) {
    let filter = tracing_subscriber::EnvFilter::new(settings.directives());
    // Standard output carries the startup banner only; the log goes to standard error.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match settings.format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
}

/// The text printed once the server listens.
struct StartupBanner<'a> {
    config: &'a Config,
    address: std::net::SocketAddr,
}

impl std::fmt::Display for StartupBanner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = format!("http://{}", self.address);
        writeln!(
            f,
            "Switchboard {} listens on {url}",
            env!("CARGO_PKG_VERSION")
        )?;
        let mode = match (self.config.auth.has_key(), self.config.auth.allow_anyone) {
            (true, _) => "tokens are checked",
            (false, false) => "open: anyone on this machine may connect, under any name",
            (false, true) => "open: anyone may connect, from anywhere, under any name",
        };
        writeln!(f, "  mode  {mode}")?;
        match self.config.store() {
            Store::Sqlite => writeln!(f, "  data  {}", self.config.data.display())?,
            Store::Redis => writeln!(f, "  data  in Redis, shared with other nodes")?,
            Store::Memory => writeln!(f, "  data  in memory, gone when the server stops")?,
        }
        let auth = if self.config.auth.has_key() {
            ",{auth:{token:process.env.TOKEN}}"
        } else {
            ""
        };
        writeln!(
            f,
            "  try   npm i socket.io-client && node -e \"require('socket.io-client').io('{url}'{auth}).on('session',console.log)\""
        )
    }
}
