//! Who owns an event that a client sends: the contract, relaying, a hook, or the embedding application.
//!
//! Every event name has one owner in a namespace. A name that relaying, a hook or the application claims is taken from the contract
//! there. The table is built once, when the server starts.

mod contract_scope;
mod owners;
mod relay_rule;

pub use contract_scope::ContractScope;
pub use owners::{CONTRACT_EVENTS, EventOwners, NamespaceOwners, Owner};
pub(crate) use relay_rule::check_name;
pub use relay_rule::{RelayMode, RelayRule};
