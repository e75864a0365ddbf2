//! Checks that involve several options, or the world outside: files, keys, addresses.

use tracing_subscriber::EnvFilter;

use super::{Config, Store};
use crate::{
    events::EventOwners,
    hooks::HookPermit,
    options::{ConfigError, Problem},
    policies::{self, JoinRule, PublishRule, RoomPolicy},
};

/// Room that an event needs around its `data`: names, ids, the frame.
const ENVELOPE_BYTES: usize = 1024;

/// Who identifies clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identities {
    /// Configured keys, or nobody.
    Configured,
    /// The embedding application, or it may yet say that it does.
    OfApplication,
    /// Nobody: no client is served.
    NotServing,
}

impl Config {
    /// Checks that the values are consistent and that the files they name can be used.
    ///
    /// # Errors
    /// Fails with every violated rule, in one error.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_as(Identities::Configured)
    }

    /// As [`check`](Self::check), where it matters who identifies clients.
    pub(crate) fn check_as(&self, identities: Identities) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        self.auth.check(&mut problems);
        self.http.check(&mut problems);
        self.tls.check(&mut problems);
        self.history.check(&mut problems);
        self.sqlite.check(&mut problems);
        self.redis.check(&mut problems);
        self.limits.check(&mut problems);
        self.recovery.check(&mut problems);
        self.presence.check(&mut problems);
        self.typing.check(&mut problems);
        self.socketio.check(&mut problems);
        self.websocket.check(&mut problems);
        self.events.check(&mut problems);
        self.documents.check(&mut problems);
        self.hooks.check(&mut problems);
        self.check_hook_events(&mut problems);
        self.check_store(&mut problems);
        self.check_emitters(&mut problems);
        if identities == Identities::Configured {
            self.check_openness(&mut problems);
        }
        self.check_sizes(&mut problems);
        if identities != Identities::NotServing {
            self.check_rooms(&mut problems);
        }
        self.check_drain(&mut problems);
        self.check_internal(&mut problems);
        self.check_webtransport(&mut problems);
        self.check_log(&mut problems);
        self.traces.check(&mut problems);
        if problems.is_empty() {
            return Ok(());
        }
        Err(problems.into())
    }

    /// Who owns which event that clients send, as far as the configuration says.
    pub(crate) fn event_owners(&self) -> EventOwners {
        let mut owners = self.socketio.event_owners();
        owners.add_hooks(&self.hooks.events());
        owners
    }

    fn check_hook_events(&self, problems: &mut Vec<Problem>) {
        let found = EventOwners::hook_problems(&self.socketio.relay, &self.hooks.events());
        problems.extend(found.into_iter().map(|(index, message)| Problem::Table {
            option: "hooks.call",
            index,
            key: "events".to_owned(),
            message,
        }));
    }

    fn check_store(&self, problems: &mut Vec<Problem>) {
        match (self.store(), &self.redis.url) {
            (Store::Redis, None) => problems.push(Problem::rule(
                &["store", "redis.url"],
                "store is redis, but redis.url is not set: set it, for example to redis://127.0.0.1:6379",
            )),
            (Store::Sqlite | Store::Memory, Some(_)) => problems.push(Problem::rule(
                &["store", "redis.url"],
                "redis.url makes this node part of a cluster, but store keeps messages on this node only: remove one of them",
            )),
            _ => {}
        }
    }

    fn check_emitters(&self, problems: &mut Vec<Problem>) {
        if !self.redis.compat.is_empty() && self.store() != Store::Redis {
            problems.push(Problem::rule(
                &["redis.compat", "redis.url"],
                "emitters publish in Redis, but this node uses none: set redis.url to their Redis, for example to redis://127.0.0.1:6379, or remove redis.compat",
            ));
        }
    }

    fn check_openness(&self, problems: &mut Vec<Problem>) {
        if !self.listen.ip().is_loopback() && !self.auth.has_key() && !self.auth.allow_anyone {
            problems.push(Problem::rule(
                &["listen", "auth.hmac_secret", "auth.hmac_secret_file", "auth.public_key", "auth.jwks"],
                format!(
                    "{} can be reached from other machines, and no key is configured: set auth.hmac_secret, \
                     auth.public_key or auth.jwks, or auth.allow_anyone = true to let anyone connect; to begin with, put \
                     SWITCHBOARD_AUTH_HMAC_SECRET=$(openssl rand -hex 32) before the command, or after docker run -e",
                    self.listen
                ),
            ));
        }
    }

    fn check_sizes(&self, problems: &mut Vec<Problem>) {
        let message = self.limits.message_bytes.bytes();
        let payloads = [
            (
                ["socketio.max_payload", "limits.message_bytes"],
                self.socketio.max_payload,
            ),
            (
                ["websocket.max_payload", "limits.message_bytes"],
                self.websocket.max_payload,
            ),
        ];
        for (options, payload) in payloads {
            if payload.bytes() < message.saturating_add(ENVELOPE_BYTES) {
                let message = self.limits.message_bytes;
                problems.push(Problem::rule(
                    &options,
                    format!(
                        "a payload of {payload} cannot hold a message of {message}; make max_payload at least 1 KiB more"
                    ),
                ));
            }
        }
        if self.limits.inbox_bytes.bytes() < self.socketio.max_payload.bytes() {
            problems.push(Problem::rule(
                &["limits.inbox_bytes", "socketio.max_payload"],
                format!(
                    "an inbox of {} cannot hold one payload of {}; make inbox_bytes at least as much",
                    self.limits.inbox_bytes, self.socketio.max_payload
                ),
            ));
        }
    }

    fn check_rooms(&self, problems: &mut Vec<Problem>) {
        let policies = match self.policies() {
            Ok(policies) => policies,
            Err(found) => return problems.extend(found),
        };
        let problem = |policy: &RoomPolicy, key: &str, message: String| Problem::Table {
            option: policies::OPTION,
            index: policy.index,
            key: key.to_owned(),
            message,
        };
        let largest = self
            .socketio
            .max_payload
            .bytes()
            .min(self.websocket.max_payload.bytes());
        for policy in policies.iter() {
            if policy
                .message_bytes
                .is_some_and(|bytes| bytes.saturating_add(ENVELOPE_BYTES) > largest)
            {
                let message = "is more than a client can send: socketio.max_payload and websocket.max_payload have to be at least 1 KiB more";
                problems.push(problem(policy, "message_bytes", message.to_owned()));
            }
            let asked = [
                ("join", policy.join == JoinRule::Hook, HookPermit::Join),
                (
                    "publish",
                    policy.publish == PublishRule::Hook,
                    HookPermit::Publish,
                ),
            ];
            for (key, is_hook, permit) in asked {
                if is_hook && !self.hooks.permits(permit) {
                    let word = permit.as_str();
                    let message = format!(
                        "hook: no table of hooks.call has on = [\"{word}\"], so nobody could"
                    );
                    problems.push(problem(policy, key, message));
                }
            }
        }
    }

    fn check_drain(&self, problems: &mut Vec<Problem>) {
        if self
            .drain
            .over
            .is_some_and(|over| self.drain.deadline < over)
        {
            problems.push(Problem::rule(
                &["drain.deadline", "drain.over"],
                "the deadline is shorter than drain.over; make it at least as long",
            ));
        }
    }

    fn check_internal(&self, problems: &mut Vec<Problem>) {
        let Some(internal) = self.http.internal_listen else {
            return;
        };
        let (one, other) = (self.listen.ip(), internal.ip());
        let overlap = one == other || one.is_unspecified() || other.is_unspecified();
        if internal.port() != 0 && internal.port() == self.listen.port() && overlap {
            problems.push(Problem::rule(
                &["http.internal_listen", "listen"],
                format!(
                    "{internal} and {} are the same address; give one of them another port",
                    self.listen
                ),
            ));
        }
    }

    fn check_webtransport(&self, problems: &mut Vec<Problem>) {
        if self.webtransport && !self.tls.is_on() {
            problems.push(Problem::rule(
                &["webtransport", "tls.cert", "tls.self_signed"],
                "WebTransport needs TLS: set tls.cert and tls.key, or tls.self_signed to try it",
            ));
        }
        if self.webtransport && !cfg!(feature = "webtransport") {
            problems.push(Problem::rule(
                &["webtransport"],
                "this program was built without WebTransport: build it with the Cargo feature webtransport",
            ));
        }
    }

    fn check_log(&self, problems: &mut Vec<Problem>) {
        if let Err(error) = EnvFilter::builder().parse(self.log.directives()) {
            problems.push(Problem::rule(
                &["log.filter"],
                format!("invalid filter {:?}: {error}", self.log.filter),
            ));
        }
    }
}
