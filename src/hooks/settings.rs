//! The options of hooks.

use std::time::Duration;

use super::{
    call_hook::{CALL, CallHook, HookPermit, check_together},
    notify_hook::{self, NOTIFY, NotifyHook},
};
use crate::options::{ByteSize, Problem, Tables, check_above_zero, section};

section! {
    /// Hooks: back ends that answer for what happens.
    pub struct HooksSettings at "hooks" {
        /// Largest reply of an endpoint. A larger one counts as a failure.
        response_bytes: ByteSize = "1 MiB",
        /// How many events are kept for endpoints that are told, all together. The oldest are lost for whoever was not told of them
        /// by then.
        outbox_events: usize = "1000000",
        /// Endpoints that answer clients' events and permit what clients do, as tables `[[hooks.call]]`: see
        /// [hooks](hooks.md#configuration). In a variable: a JSON array of objects.
        call: Tables = "",
        /// Endpoints that are told what happened, as tables `[[hooks.notify]]`: see [hooks](hooks.md#notifications). In a variable: a
        /// JSON array of objects.
        notify: Tables = "",
        /// For how long a notification that fails is sent again before it is given up.
        retry_for: Duration = "24h",
    }
}

impl HooksSettings {
    /// The endpoints that answer.
    ///
    /// # Errors
    /// Every problem in them.
    pub(crate) fn calls(&self) -> Result<Vec<CallHook>, Vec<Problem>> {
        let mut problems = Vec::new();
        let calls = self.call.read(CALL, &mut problems, CallHook::read);
        check_together(&calls, &mut problems);
        match problems.is_empty() {
            true => Ok(calls),
            false => Err(problems),
        }
    }

    /// The endpoints that are told.
    ///
    /// # Errors
    /// Every problem in them.
    pub(crate) fn notifications(&self) -> Result<Vec<NotifyHook>, Vec<Problem>> {
        let mut problems = Vec::new();
        let hooks = self.notify.read(NOTIFY, &mut problems, NotifyHook::read);
        notify_hook::check_together(&hooks, &mut problems);
        match problems.is_empty() {
            true => Ok(hooks),
            false => Err(problems),
        }
    }

    /// Whether some endpoint is asked for a permit.
    pub(crate) fn permits(&self, permit: HookPermit) -> bool {
        let calls = self.calls().unwrap_or_default();
        calls.iter().any(|call| call.on.contains(&permit))
    }

    /// The names and patterns of the events that each endpoint claims.
    pub(crate) fn events(&self) -> Vec<Vec<String>> {
        let calls = self.calls().unwrap_or_default();
        calls.into_iter().map(|call| call.events).collect()
    }

    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        check_above_zero(
            &["hooks.response_bytes"],
            &self.response_bytes.bytes(),
            problems,
        );
        check_above_zero(&["hooks.outbox_events"], &self.outbox_events, problems);
        problems.extend(self.calls().err().unwrap_or_default());
        problems.extend(self.notifications().err().unwrap_or_default());
    }
}
