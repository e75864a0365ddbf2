//! Emitters of other systems over the same Redis: what they publish reaches this node's clients.
//!
//! Two systems are understood: `socket.io`, the emitters and servers of `@socket.io/redis-emitter` and `@socket.io/redis-adapter`, and
//! `python-socketio`, its write-only managers. Every node subscribes to their channels and serves its own connections; nothing that came
//! in is published again, and of the servers' requests each is answered for this node alone. What the applications and clients of this
//! cluster broadcast is published for the servers of `socket.io`.
//!
//! Everything from Redis is hostile: sizes and nesting are checked before anything is decoded, and what is wrong is dropped, counted
//! and logged rarely. One task takes the messages in their order and awaits each, so that an event for a room comes behind the joins
//! that were asked for before.
//!
//! | where | what |
//! |---|---|
//! | `channels` | names of channels, and which system speaks on them |
//! | `msgpack` | MessagePack to JSON text with placeholders |
//! | `msgpack_writer` | the other way |
//! | `event`, `names` | the parts that all messages have in common: events, and names of rooms and sockets |
//! | `server_message`, `python` | the messages of the two systems, as commands |
//! | `command`, `serve`, `reply` | what a command is, carrying it out, and the answers to servers |
//! | `outgoing` | what is published for servers |
//! | `fuzzing` | what the fuzzer in `fuzz/` does |
//! | `refusal` | why a message is dropped |

use std::sync::Arc;

use tokio::{sync::Semaphore, task::AbortHandle};

use crate::{
    backend::{EmitterSystem, PubSub, RedisSettings},
    hub::Hub,
    model::Namespace,
};

mod channels;
mod command;
mod event;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod msgpack;
mod msgpack_writer;
mod names;
mod outgoing;
mod python;
mod refusal;
mod reply;
mod serve;
mod server_message;

use channels::Channels;
use event::EventLimits;
use outgoing::{ClusterSender, Publisher};
use refusal::Refusal;
use serve::Server;

/// Serves the emitters that are configured, until the returned handle aborts it; `None` if there are none.
pub(crate) fn start(
    hub: &Hub,
    pubsub: Option<&Arc<dyn PubSub>>,
    settings: &RedisSettings,
    namespaces: &[Namespace],
    max_payload: usize,
) -> Option<AbortHandle> {
    let pubsub = pubsub.filter(|_| !settings.compat.is_empty())?;
    let systems: Vec<_> = settings
        .compat
        .iter()
        .map(|system| system.as_str())
        .collect();
    hub.metrics().show_emitters(&systems, &Refusal::ALL);
    let own = ClusterSender::new(&pubsub.prefix());
    if settings.compat.contains(&EmitterSystem::SocketIo) {
        hub.publish_broadcasts(Box::new(Publisher {
            // A connection of its own: what emitters do, joins above all, does not delay it.
            pubsub: pubsub.for_other_systems(0),
            sender: own.clone(),
            key: settings.compat_key.clone(),
            metrics: hub.metrics().clone(),
        }));
    }
    let server = Server {
        hub: hub.clone(),
        pubsub: pubsub.for_other_systems(max_payload),
        channels: Channels::new(&settings.compat, &settings.compat_key, namespaces),
        limits: EventLimits::new(hub.limits(), max_payload),
        own,
        ack_requests: Arc::new(Semaphore::new(serve::MAX_ACK_REQUESTS)),
    };
    Some(tokio::spawn(server.run()).abort_handle())
}
