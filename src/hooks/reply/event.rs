//! The reply to a client's event.

use serde_json::value::RawValue;

use super::{Action, Object, Reply, actions, check_state};
use crate::{
    hooks::{binary::to_payload, reply::read_value},
    model::EventPayload,
};

/// What happens to an event.
#[derive(Debug)]
pub(crate) struct EventReply {
    /// The values of the ack, as they are; `None`: none were given.
    pub(crate) ack: Option<EventPayload>,
    /// The ack is sent before the actions.
    pub(crate) ack_first: bool,
    /// Replaces the connection's state.
    pub(crate) state: Option<Box<RawValue>>,
    /// What is done, in order.
    pub(crate) actions: Vec<Action>,
}

impl Reply for EventReply {
    fn read(object: &Object<'_>) -> Result<Self, String> {
        let ack = object
            .get("ack")
            .map(|ack| match ack.get().starts_with('[') {
                true => to_payload(ack.get()).map_err(|wrong| format!("ack: {wrong}")),
                false => Err("ack is no array: its elements are the values of the ack".to_owned()),
            });
        let state = object.get("state").map(|state| {
            check_state(state)?;
            Ok::<_, String>(state.to_owned())
        });
        let actions = match object.get("do") {
            Some(list) => actions::read(&read_value::<Vec<&RawValue>>("do", list)?)?,
            None => Vec::new(),
        };
        let ack_first = match (object.position("ack"), object.position("do")) {
            (Some(ack), Some(actions)) => ack < actions,
            _ => false,
        };
        Ok(Self {
            ack: ack.transpose()?,
            ack_first,
            state: state.transpose()?,
            actions,
        })
    }
}
