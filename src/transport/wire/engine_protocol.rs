//! The versions of Engine.IO.

/// The version of Engine.IO that a client uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum EngineProtocol {
    V3,
    V4,
}
