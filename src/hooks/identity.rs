//! What an endpoint changes in the identity of a client that it lets connect. Stored with the session: a client that resumes it has
//! the same identity, and no endpoint is asked again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    auth::{Grants, Principal},
    model::{Timestamp, UserId},
};

/// What changes; `None`: as the client's token, or the client, says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct IdentityChange {
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<UserId>,
    /// The display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<Arc<str>>,
    /// What presence shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) info: Option<Arc<RawValue>>,
    /// The grants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rooms: Option<Grants>,
    /// When the identity ends; never later than its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
}

/// The identity that a client had shown, and what has changed in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PermittedIdentity {
    /// The user that the client had shown itself as.
    pub(crate) shown: UserId,
    /// What has changed.
    #[serde(flatten)]
    pub(crate) change: IdentityChange,
}

impl PermittedIdentity {
    /// The identity of a client that shows itself as `principal`; `None` if that is not the user that it was.
    pub(crate) fn apply(&self, principal: &Principal) -> Option<Principal> {
        (principal.user == self.shown).then(|| self.change.apply(principal.clone()))
    }
}

impl IdentityChange {
    /// The identity with the change.
    pub(crate) fn apply(&self, shown: Principal) -> Principal {
        let change = self.clone();
        let ends = [shown.expires_at, change.expires_at];
        Principal {
            user: change.user.unwrap_or(shown.user),
            name: change.name.or(shown.name),
            info: change.info.or(shown.info),
            grants: change.rooms.map_or(shown.grants, Arc::new),
            expires_at: ends.into_iter().flatten().min(),
        }
    }
}
