//! Answers to events of applications that clients may send again, kept so that a repeated event is answered with the first answer and
//! nothing is done twice.
//!
//! A client that has no ack in time, or loses its connection before, sends the event again: socket.io-client's option `retries`. Such
//! an event has no id, so it is known by its sender, its name and its arguments. Each node keeps the answers that it has given; of an
//! event that its client may have sent to another node before, the other nodes are asked.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

pub(in crate::hub) mod table;

pub(in crate::hub) use table::AnswerTable;
pub(crate) use table::{AnswerKey, PendingAnswer};
use table::{Begun, Known};

use super::{
    Hub,
    cluster::{client::REQUEST_TIMEOUT, request::ClusterRequest},
};
use crate::{
    error::{Error, Result},
    model::EventPayload,
};

/// How long a node that is asked waits for the answer that it is about to give.
const REMOTE_WAIT: Duration = Duration::from_secs(1);

/// What a node knows of an answer, as other nodes ask for it.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::hub) enum KnownAnswer {
    /// It has given none.
    None,
    /// It is about to give one.
    Pending,
    /// The arguments of the ack, and its attachments as Base64.
    Given(String, Vec<String>),
}

/// Whose turn it is to answer an event.
pub(crate) enum AnswerTurn {
    /// The caller's: the event has not been answered.
    First(PendingAnswer),
    /// Nobody's: it has been answered with this.
    Repeated(EventPayload),
}

impl Hub {
    /// The turn to answer an event, by `deadline`. With `elsewhere` it may have been sent to another node before.
    ///
    /// # Errors
    /// `unavailable` if it is still being answered by then.
    pub(crate) async fn answer_turn(
        &self,
        key: AnswerKey,
        elsewhere: bool,
        deadline: Instant,
    ) -> Result<AnswerTurn> {
        let late = || Error::unavailable("the same event is still being answered; try again");
        loop {
            match self.answers().begin(key) {
                Begun::Given(answer) => return Ok(AnswerTurn::Repeated(answer)),
                Begun::Pending(settled) => {
                    timeout_at(deadline, settled).await.map_err(|_| late())?;
                }
                Begun::First(pending) => {
                    if elsewhere && !self.cluster().is_single_node() {
                        let asked = timeout_at(deadline, self.answered_elsewhere(key));
                        if let Some(answer) = asked.await.map_err(|_| late())? {
                            pending.give(&answer);
                            return Ok(AnswerTurn::Repeated(answer));
                        }
                    }
                    pending.begin();
                    return Ok(AnswerTurn::First(pending));
                }
            }
        }
    }

    /// The answer of another node, once it has given it. A node that cannot be asked is taken not to know the event.
    async fn answered_elsewhere(&self, key: AnswerKey) -> Option<EventPayload> {
        loop {
            let request = ClusterRequest::Answer { key };
            let asked = self
                .cluster()
                .request::<KnownAnswer>(&request, REQUEST_TIMEOUT);
            let known = asked.await.unwrap_or_default();
            let is_pending = known.iter().any(|it| matches!(it, KnownAnswer::Pending));
            let given = known.into_iter().find_map(KnownAnswer::into_answer);
            if given.is_some() || !is_pending {
                return given;
            }
        }
    }

    /// What this node knows of an answer.
    pub(in crate::hub) async fn known_answer(&self, key: AnswerKey) -> KnownAnswer {
        let deadline = Instant::now() + REMOTE_WAIT;
        match self.answers().wait(key, deadline).await {
            Known::Nothing => KnownAnswer::None,
            Known::Pending => KnownAnswer::Pending,
            Known::Given(EventPayload { text, attachments }) => {
                let attachments = attachments.iter().map(|it| BASE64_STANDARD.encode(it));
                KnownAnswer::Given(text.to_string(), attachments.collect())
            }
        }
    }
}

impl KnownAnswer {
    fn into_answer(self) -> Option<EventPayload> {
        let Self::Given(text, attachments) = self else {
            return None;
        };
        let attachments = attachments.into_iter().map(|it| BASE64_STANDARD.decode(it));
        let attachments: Result<Vec<_>, _> = attachments.collect();
        Some(EventPayload {
            text: text.into(),
            attachments: attachments.ok()?.into_iter().map(Into::into).collect(),
        })
    }
}
