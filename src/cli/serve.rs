//! `switchboard serve`: the server in the foreground, until Ctrl-C or SIGTERM.

use std::{io::IsTerminal, net::SocketAddr, process::ExitCode};

use tokio::net::{TcpListener, TcpSocket};

use crate::{
    app::{App, StartError, stop_signal},
    config::{Config, LoadedConfig, LogFormat, LogSettings, Store},
};

/// Serves until the process is told to stop.
pub(super) fn run(loaded: LoadedConfig) -> ExitCode {
    start_log(&loaded.config.log);
    raise_open_files(&loaded.config);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return super::fail(&format_args!("the runtime cannot start: {error}")),
    };
    match runtime.block_on(serve(loaded.config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError::Config(problems)) => super::refuse_configuration(&problems),
        Err(error) => super::fail(&WithCause(&error)),
    }
}

async fn serve(config: Config) -> Result<(), StartError> {
    // The address first: a server that cannot have it should not touch the log of the one that has.
    let address = config.listen;
    let cannot_listen = |source| StartError::Listen { address, source };
    let listener = listen(address).map_err(cannot_listen)?;
    let bound = listener.local_addr().map_err(cannot_listen)?;
    let stop = stop_signal();
    let app = App::builder(config).build().await?;
    print!(
        "{}",
        Welcome {
            config: app.config(),
            address: bound
        }
    );
    app.run(listener, stop).await;
    Ok(())
}

/// Has the system allow this process as many open files as it may have, and says so if that is less than the connections need.
fn raise_open_files(config: &Config) {
    let allowed = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(allowed) => allowed,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
            return;
        }
    };
    if let Some(needed) = config.open_files().filter(|needed| *needed > allowed) {
        tracing::warn!(
            allowed,
            needed,
            "the system allows fewer open files than limits.connections needs: raise its hard limit (ulimit -Hn, LimitNOFILE= \
             of systemd, --ulimit of docker), or allow fewer connections"
        );
    }
}

/// Connections that the system may keep until they are accepted; it has a limit of its own, and takes the smaller. After an
/// outage thousands come at once, and one for which there is no room tries again a second later.
const BACKLOG: u32 = 65_535;

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // The next process is not kept waiting by what is left of this one's connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What went wrong, and what that comes from in the end, unless it says so itself.
struct WithCause<'a>(&'a StartError);

impl std::fmt::Display for WithCause<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = self.0.to_string();
        f.write_str(&said)?;
        let first = std::error::Error::source(self.0);
        let cause = std::iter::successors(first, |error| error.source()).last();
        match cause.map(ToString::to_string) {
            Some(cause) if !said.contains(&cause) => write!(f, " ({cause})"),
            _ => Ok(()),
        }
    }
}

fn start_log(settings: &LogSettings) {
    let filter = tracing_subscriber::EnvFilter::new(settings.directives());
    // Standard output has the start-up block and whatever a pipe reads of it; what happens goes to standard error.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match settings.format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
}

/// What is printed once the server listens.
struct Welcome<'a> {
    config: &'a Config,
    address: std::net::SocketAddr,
}

impl std::fmt::Display for Welcome<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = format!("http://{}", self.address);
        writeln!(
            f,
            "Switchboard {} listens on {url}",
            env!("CARGO_PKG_VERSION")
        )?;
        let mode = match (self.config.auth.has_key(), self.config.auth.allow_anyone) {
            (true, _) => "tokens are checked",
            (false, false) => "open: whoever is on this machine may connect, under any name",
            (false, true) => "open: anybody may connect, from anywhere, under any name",
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
