//! Reads the certificates again: on SIGHUP, and when a file has changed. What cannot be used leaves those in force that are.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{CertificateError, TlsAcceptor, TlsSettings, source::CertificateSource};
use crate::{model::Timestamp, telemetry::Metrics};

/// How often the files are looked at. Their content is compared, so that a link that is exchanged counts as a change, as it is
/// with the secrets of Kubernetes.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How long before a certificate expires the log says so, each day.
const EXPIRY_WARNING: Duration = Duration::from_secs(14 * 24 * 3600);

const DAY: Duration = Duration::from_secs(24 * 3600);

/// An acceptor, and what keeps its certificates up to date.
pub(crate) struct CertificateReload {
    acceptor: TlsAcceptor,
    source: CertificateSource,
    metrics: Arc<Metrics>,
    /// Why the files cannot be used, as the log has it.
    problem: Option<String>,
    /// When the log last said that a certificate expires.
    warned: Option<Timestamp>,
}

impl CertificateReload {
    /// Loads the certificates; `None` if TLS is off. `listen` is the address that clients connect to.
    ///
    /// # Errors
    /// A certificate cannot be used.
    pub(crate) fn open(
        settings: &TlsSettings,
        listen: IpAddr,
        metrics: &Arc<Metrics>,
    ) -> Result<Option<Self>, CertificateError> {
        if !settings.is_on() {
            return Ok(None);
        }
        let mut source = CertificateSource::new(settings, listen);
        let certificates = source.load(Timestamp::now())?.unwrap_or_default();
        Ok(Some(Self {
            acceptor: TlsAcceptor::new(certificates, metrics)?,
            source,
            metrics: metrics.clone(),
            problem: None,
            warned: None,
        }))
    }

    /// What accepts connections with the certificates.
    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Runs until it is dropped. To be called within a tokio runtime.
    pub(crate) fn run(mut self) -> impl Future<Output = ()> + Send {
        // Before anything else: SIGHUP ends a process that does not handle it.
        let hangup = signal(SignalKind::hangup());
        async move {
            let mut checks = interval(CHECK_INTERVAL);
            checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut hangup = hangup.ok();
            loop {
                let asked = tokio::select! {
                    _ = checks.tick() => false,
                    Some(()) = async { hangup.as_mut()?.recv().await } => true,
                };
                let checked = spawn_blocking(move || {
                    self.check(asked, Timestamp::now());
                    self
                });
                let Ok(checked) = checked.await else { return };
                self = checked;
            }
        }
    }

    /// Looks for other certificates. `asked`: an operator wants an answer in the log.
    fn check(&mut self, asked: bool, now: Timestamp) {
        let found = self.source.load(now);
        let replaced = found.and_then(|found| match found {
            Some(certificates) => {
                let replaced = self.acceptor.replace(certificates);
                replaced.inspect_err(|_| self.source.forget())?;
                Ok(true)
            }
            None => Ok(false),
        });
        self.metrics.tls_refused.set(i64::from(replaced.is_err()));
        let problem = match replaced {
            Ok(true) => {
                self.metrics.tls_reloads.inc();
                tracing::info!("new certificates are in force: new connections see them");
                None
            }
            Ok(false) => {
                if asked {
                    tracing::info!("the certificates have not changed");
                }
                None
            }
            Err(problem) => Some(problem),
        };
        self.log_problem(problem, asked);
        self.warn_before_expiry(now);
    }

    /// Logs why the certificates in force stay: once, and whenever an operator has asked.
    fn log_problem(&mut self, problem: Option<CertificateError>, asked: bool) {
        let problem = problem.map(|problem| problem.to_string());
        if let Some(problem) = &problem
            && (asked || self.problem.as_ref() != Some(problem))
        {
            tracing::error!("the certificates in force stay: {problem}");
        }
        self.problem = problem;
    }

    fn warn_before_expiry(&mut self, now: Timestamp) {
        let not_after = self.source.not_after();
        let Some(not_after) = not_after.filter(|_| !self.source.is_self_signed()) else {
            return;
        };
        let left = now.until(not_after);
        let is_said = self.warned.is_some_and(|warned| warned.until(now) < DAY);
        if left > EXPIRY_WARNING || is_said {
            return;
        }
        self.warned = Some(now);
        match left {
            Duration::ZERO => tracing::error!("a certificate has expired: clients refuse it"),
            left => tracing::warn!(
                days = left.as_secs() / DAY.as_secs(),
                "a certificate is about to expire"
            ),
        }
    }
}
