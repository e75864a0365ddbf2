//! Who makes a request: a connection, or a request that comes without one. Every rule that both are under asks here.

use std::{net::IpAddr, sync::Arc};

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

    /// Its address, if its user is no more than what the client says.
    fn unverified_address(&self) -> Option<IpAddr> {
        None
    }

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
    fn room_key(&self, room: &RoomName) -> RoomKey {
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

    fn unverified_address(&self) -> Option<IpAddr> {
        self.unverified_address()
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

    fn unverified_address(&self) -> Option<IpAddr> {
        (**self).unverified_address()
    }
}

/// A caller without a connection.
///
/// ```no_run
/// use switchboard::{
///     Result,
///     hub::{HistoryRequest, Hub, Range, StatelessCaller},
///     model::{Namespace, RoomName},
/// };
///
/// # async fn run(hub: Hub) -> Result<()> {
/// let back_end = StatelessCaller::back_end(Namespace::root());
/// let request = HistoryRequest {
///     room: RoomName::parse("news")?,
///     range: Range::Last,
///     limit: Some(10),
/// };
/// for message in hub.history(&back_end, request).await?.messages {
///     println!("#{} {}", message.seq, message.data);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StatelessCaller {
    namespace: Namespace,
    principal: Option<Arc<Principal>>,
    unverified_address: Option<IpAddr>,
}

impl StatelessCaller {
    /// The same caller with its address, if its user is no more than what the client says.
    pub(in crate::hub) fn at(self, unverified_address: Option<IpAddr>) -> Self {
        Self {
            unverified_address,
            ..self
        }
    }

    /// A back end of the operator's own: no grants and no rates apply.
    pub fn back_end(namespace: Namespace) -> Self {
        Self {
            namespace,
            principal: None,
            unverified_address: None,
        }
    }
}

impl Caller for StatelessCaller {
    fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    fn identity(&self) -> Option<Arc<Principal>> {
        self.principal.clone()
    }

    fn connection(&self) -> Option<&Connection> {
        None
    }

    fn unverified_address(&self) -> Option<IpAddr> {
        self.unverified_address
    }
}

impl Hub {
    /// A user without a connection, with what its identity grants.
    ///
    /// # Errors
    /// Fails with `bad_request` if the user's id is longer than configured.
    pub fn stateless_caller(
        &self,
        namespace: Namespace,
        principal: Principal,
    ) -> Result<StatelessCaller> {
        self.limiter().check_name(principal.user.as_str().len())?;
        Ok(StatelessCaller {
            namespace,
            principal: Some(Arc::new(principal)),
            unverified_address: None,
        })
    }
}
