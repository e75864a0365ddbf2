//! Tests of the hub with sessions, over the whole hub.

use std::{sync::Arc, time::Instant};

use super::{CloseReason, Connection, EventSink, Hub, Outgoing, PreparedConnection, ResumeRequest};
use crate::{
    backend::StoredSession,
    error::{Error, Result},
    model::{ConnectionId, Namespace, Offset, Pid, RoomName},
};

mod tests;
