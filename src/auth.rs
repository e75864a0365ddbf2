//! Authentication and authorization.
//!
//! An [`Authority`] turns a token, or a name in open mode, into a [`Principal`], whose [`Grants`] define what it may do in
//! which rooms. Nothing here knows a transport or what happens in rooms.
//!
//! ```
//! use switchboard::{
//!     auth::{Authority, AuthorityConfig, Permission, TokenClaims, issue},
//!     model::{RoomName, Timestamp, UserId},
//! };
//!
//! # async fn example() -> switchboard::error::Result<()> {
//! let secret = "an example, at least 32 bytes long";
//! let authority = Authority::new(AuthorityConfig {
//!     hmac_secret: Some(secret.into()),
//!     ..AuthorityConfig::default()
//! })
//! .expect("the secret is long enough");
//!
//! let now = Timestamp::now();
//! let token = issue(secret, &TokenClaims::for_user(UserId::parse("alice")?), now)?;
//! let alice = authority.verify(&token, now).await?;
//! assert!(alice.may(Permission::Join, &RoomName::parse("lobby")?));
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(example()).expect("verified");
//! ```

mod admin;
mod api_keys;
mod application;
mod authority;
mod credentials;
mod grants;
mod issue;
mod jwks;
mod jwks_source;
mod jwt;
mod keys;
mod open_mode;
mod principal;
mod settings;
#[cfg(test)]
mod testing;
mod verified_tokens;

pub use api_keys::MIN_API_KEY_CHARS;
pub use application::Reject;
pub use authority::{Authority, AuthorityConfig, KeyProblem};
pub use grants::{Grants, MAX_RULES, Permission, Permissions};
pub use issue::{TokenClaims, issue};
pub use jwt::MAX_TOKEN_BYTES;
pub use keys::MIN_SECRET_BYTES;
pub use principal::{MAX_DISPLAY_NAME_BYTES, MAX_INFO_BYTES, Principal, parse_info, parse_name};
pub use settings::AuthSettings;

pub(crate) use admin::{ADMIN_COOKIE, ADMIN_SESSION, AdminSession};
pub(crate) use api_keys::ApiKeys;
pub(crate) use application::ApplicationAuth;
pub(crate) use credentials::{HttpToken, find_token, id_text, query_user, strip_bearer};
