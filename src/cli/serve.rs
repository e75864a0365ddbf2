//! `switchboard serve`: runs the server in the foreground until Ctrl-C or SIGTERM.

use std::{
    io::{self, IsTerminal},
    net::UdpSocket,
    process::ExitCode,
};

use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
};

use super::long_work;
use crate::{
    app::{App, StartError, listen, stop_signal},
    backend::sqlite::{self, OpenError},
    config::{Config, ConfigError, LoadedConfig, Store},
    hub::Hub,
    traces::TraceExport,
};

/// Reads the configuration again, as it was read at the start.
pub(super) trait Reload:
    Fn() -> Result<LoadedConfig, ConfigError> + Clone + Send + 'static
{
}

impl<F: Fn() -> Result<LoadedConfig, ConfigError> + Clone + Send + 'static> Reload for F {}

/// Runs the server until the process receives a stop signal.
pub(super) fn run(loaded: LoadedConfig, reload: impl Reload) -> ExitCode {
    let (traces, node) = (&loaded.config.traces, loaded.config.node.as_deref());
    let traces = match TraceExport::start(traces, node) {
        Ok(traces) => traces,
        Err(error) => return super::fail(&error),
    };
    super::log::start(&loaded.config.log, traces.as_ref());
    let code = run_logged(loaded, reload);
    if let Some(traces) = traces {
        traces.finish();
    }
    code
}

fn run_logged(loaded: LoadedConfig, reload: impl Reload) -> ExitCode {
    raise_open_files(&loaded.config);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return super::fail(&format_args!("starting the runtime failed: {error}")),
    };
    match runtime.block_on(serve(loaded.config, reload)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError::Config(error)) => super::reject_config(&error),
        // As it was told to: a server that is stopped has not failed.
        Err(StartError::Store(error @ OpenError::Interrupted { .. })) => {
            eprintln!("{error}");
            ExitCode::SUCCESS
        }
        Err(error) => super::fail(&format_args!("{error:?}")),
    }
}

async fn serve(config: Config, reload: impl Reload) -> Result<(), StartError> {
    // Listen first: a second server on the same address must not touch the log of the first one.
    let address = config.listen;
    let listener = listen(address)?;
    let bound = listener
        .local_addr()
        .map_err(|source| StartError::Listen { address, source })?;
    if config.webtransport {
        // Only to say so now: the server listens there itself, and goes on without WebTransport if it cannot.
        UdpSocket::bind(bound).map_err(|source| StartError::ListenUdp {
            address: bound,
            source,
        })?;
    }
    let stop = stop_signal();
    let hangups = hangups();
    if config.store() == Store::Sqlite {
        migrate(&config).await?;
    }
    let app = App::builder(config).standing_alone().build().await?;
    if let Some(hangups) = hangups {
        tokio::spawn(reload_policies(hangups, reload, app.hub().clone()));
    }
    print!(
        "{}",
        StartupBanner {
            config: app.config(),
            address: bound
        }
    );
    notify_service_manager(NotifyState::Ready);
    let stop = async {
        stop.await;
        notify_service_manager(NotifyState::Stopping);
    };
    app.run(listener, stop).await;
    Ok(())
}

/// Notifies systemd (`Type=notify`), or whatever else has set `NOTIFY_SOCKET`.
fn notify_service_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "notifying the service manager failed");
    }
}

/// The signals by which a service is told to read its files again; SIGHUP ends a process that does not handle it. `None` in a terminal:
/// there the signal says that the terminal is gone, and ends the server.
fn hangups() -> Option<Signal> {
    if io::stderr().is_terminal() {
        return None;
    }
    let hangups = signal(SignalKind::hangup());
    let warn =
        |error: &io::Error| tracing::warn!(%error, "SIGHUP cannot be handled, and ends the server");
    hangups.inspect_err(warn).ok()
}

/// Puts the policies of rooms in force that the configuration has, whenever the server is told to read it again. Whatever else has
/// changed takes effect at the next start.
async fn reload_policies(mut hangups: Signal, reload: impl Reload, hub: Hub) {
    while hangups.recv().await.is_some() {
        let reload = reload.clone();
        let policies = spawn_blocking(move || {
            let loaded = reload()?;
            loaded.config.policies().map_err(ConfigError::from)
        });
        match policies.await {
            Ok(Ok(policies)) => {
                let (count, removed) = (policies.iter().count(), hub.apply_policies(policies));
                tracing::info!(
                    policies = count,
                    removed,
                    "the policies of rooms are read again; other options are read at the start"
                );
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "the configuration is wrong: the policies of rooms stay as they are");
            }
            Err(error) => tracing::error!(%error, "the policies of rooms could not be read again"),
        }
    }
}

/// Migrates the embedded log if an earlier version wrote it. The server would do that, too, but show less, and not stop for a signal.
async fn migrate(config: &Config) -> Result<(), OpenError> {
    let folder = config.data.clone();
    long_work::run(move |progress| sqlite::migrate(&folder, progress)).await
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

/// The text printed once the server listens.
struct StartupBanner<'a> {
    config: &'a Config,
    address: std::net::SocketAddr,
}

impl std::fmt::Display for StartupBanner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.config.tls.is_on() {
            "https"
        } else {
            "http"
        };
        let url = format!("{scheme}://{}", self.address);
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
        if let Some(page) = self.config.dashboard() {
            writeln!(f, "  admin {url}{page}")?;
        }
        let auth = self.config.auth.has_key();
        let auth = auth.then_some("auth:{token:process.env.TOKEN}");
        let trust = self.config.tls.self_signed;
        let trust = trust.then_some("rejectUnauthorized:false");
        let options: Vec<_> = auth.into_iter().chain(trust).collect();
        let options = match options[..] {
            [] => String::new(),
            _ => format!(",{{{}}}", options.join(",")),
        };
        writeln!(
            f,
            "  try   npm i socket.io-client && node -e \"require('socket.io-client').io('{url}'{options}).on('session',console.log)\""
        )
    }
}
