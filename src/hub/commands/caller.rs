//! Who makes a request: a connection, or a request that comes without one. Every rule that both are under asks here.

use std::sync::Arc;

use crate::{
    auth::{Permission, Principal},
    error::Result,
    hub::{Connection, Hub},
    model::{Namespace, RoomKey, RoomName, Sender},
};

/// Who makes a request that needs no connection.
pub trait Caller: Send + Sync {
    /// The namespace of the rooms that it names.
    fn namespace(&self) -> &Namespace;

    /// The identity it acts for; `None`: a back end of the operator's own, which may do everything, at any rate.
    fn identity(&self) -> Option<Arc<Principal>>;

    /// The connection it comes by, if there is one.
    fn connection(&self) -> Option<&Connection>;

    /// Whether it may do something in a room.
    fn may(&self, permission: Permission, room: &RoomName) -> bool {
        self.identity()
            .is_none_or(|principal| principal.may(permission, room))
    }

    /// The sender that members see.
    fn sender(&self) -> Option<Sender> {
        self.identity().map(|principal| principal.sender())
    }

    /// A room's key in its namespace.
    fn key(&self, room: &RoomName) -> RoomKey {
        RoomKey {
            namespace: self.namespace().clone(),
            room: room.clone(),
        }
    }
}

impl Caller for Connection {
    fn namespace(&self) -> &Namespace {
        self.namespace()
    }

    fn identity(&self) -> Option<Arc<Principal>> {
        Some(self.principal())
    }

    fn connection(&self) -> Option<&Connection> {
        Some(self)
    }
}

impl<C: Caller> Caller for Arc<C> {
    fn namespace(&self) -> &Namespace {
        (**self).namespace()
    }

    fn identity(&self) -> Option<Arc<Principal>> {
        (**self).identity()
    }

    fn connection(&self) -> Option<&Connection> {
        (**self).connection()
    }
}

/// A caller without a connection.
#[derive(Clone, Debug)]
pub struct Visitor {
    namespace: Namespace,
    principal: Option<Arc<Principal>>,
}

impl Visitor {
    /// A back end of the operator's own.
    pub fn back_end(namespace: Namespace) -> Self {
        Self {
            namespace,
            principal: None,
        }
    }
}

impl Caller for Visitor {
    fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    fn identity(&self) -> Option<Arc<Principal>> {
        self.principal.clone()
    }

    fn connection(&self) -> Option<&Connection> {
        None
    }
}

impl Hub {
    /// A user without a connection, with what its identity grants.
    ///
    /// # Errors
    /// `bad_request` if the user's id is longer than configured.
    pub fn visitor(&self, namespace: Namespace, principal: Principal) -> Result<Visitor> {
        self.limiter().check_name(principal.user.as_str().len())?;
        Ok(Visitor {
            namespace,
            principal: Some(Arc::new(principal)),
        })
    }
}
