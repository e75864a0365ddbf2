//! A user's status: what it says of itself, and what others are shown.

use std::sync::{Arc, LazyLock};

use serde_json::value::RawValue;

use crate::{backend::PresenceEntry, model::Timestamp};

/// The status of a user that has set none.
pub(in crate::hub) const ONLINE: &str = "online";
/// [`ONLINE`], shared by all who have set no status.
pub(in crate::hub) fn online() -> Arc<str> {
    static SHARED: LazyLock<Arc<str>> = LazyLock::new(|| ONLINE.into());
    SHARED.clone()
}

/// The status that an idle user is shown with.
const AWAY: &str = "away";

/// The status of a user, as one node knows it.
#[derive(Clone, Debug)]
pub struct UserStatus {
    /// The name to show.
    pub name: Option<Arc<str>>,
    /// `online`, `away` or any other word, as the user set it; others are shown what [`displayed`](Self::displayed) returns.
    pub status: Arc<str>,
    /// A JSON object.
    pub info: Option<Arc<RawValue>>,
    /// The user has been inactive for the configured time.
    pub idle: bool,
    /// When the user set this; 0: never.
    pub changed: Timestamp,
}

impl UserStatus {
    /// The status that others are shown: an idle user is away, unless it set a status other than online.
    pub(in crate::hub) fn displayed(&self) -> Arc<str> {
        if self.idle && &*self.status == ONLINE {
            return AWAY.into();
        }
        self.status.clone()
    }

    /// Whether others are shown the same. Members are sent the text of `info`, so texts are compared.
    pub(in crate::hub) fn displays_as(&self, other: &Self) -> bool {
        fn text(status: &UserStatus) -> Option<&str> {
            status.info.as_deref().map(RawValue::get)
        }
        self.name == other.name
            && self.displayed() == other.displayed()
            && text(self) == text(other)
    }

    /// The presence entry of a user that enters a room with its first connection on this node.
    pub(in crate::hub) fn into_entry(self, since: Timestamp) -> PresenceEntry {
        let Self {
            name,
            status,
            info,
            idle,
            changed,
        } = self;
        PresenceEntry {
            name,
            status,
            info,
            connections: 1,
            since,
            idle,
            changed,
        }
    }
}

impl From<&PresenceEntry> for UserStatus {
    fn from(entry: &PresenceEntry) -> Self {
        Self {
            name: entry.name.clone(),
            status: entry.status.clone(),
            info: entry.info.clone(),
            idle: entry.idle,
            changed: entry.changed,
        }
    }
}
