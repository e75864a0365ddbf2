//! `switchboard token`: issues a token for trying things out, signed with the configured secret.

use std::{process::ExitCode, sync::Arc, time::Duration};

use serde_json::value::RawValue;

use crate::{
    auth::{self, AuthSettings, Grants, TokenClaims},
    config::{OptionValue, parse_duration},
    error::Error,
    model::{Timestamp, UserId},
};

/// The flags of `switchboard token`, in addition to those of `[auth]`: the claims.
#[derive(clap::Args)]
pub(super) struct TokenArguments {
    /// Id of the user
    #[arg(long, value_parser = parse_user)]
    sub: UserId,
    /// Display name
    #[arg(long, value_parser = parse_name)]
    name: Option<Arc<str>>,
    /// Additional data for presence, a JSON object
    #[arg(long, value_name = "JSON", value_parser = parse_info)]
    info: Option<Arc<RawValue>>,
    /// Grants such as 'team:*=join,publish'; can be repeated
    #[arg(id = "room", long = "room", value_name = "PATTERN=ACTIONS", value_parser = parse_room)]
    rooms: Vec<String>,
    /// Validity period
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_ttl)]
    ttl: Duration,
}

/// Prints a token, or why none can be issued.
pub(super) fn run(arguments: &TokenArguments, auth: &AuthSettings) -> ExitCode {
    match token(arguments, auth) {
        Ok(token) => {
            println!("{token}");
            ExitCode::SUCCESS
        }
        Err(reason) => super::reject(&reason),
    }
}

#[derive(Debug, thiserror::Error)]
enum TokenError {
    #[error(
        "no secret to sign with: set auth.hmac_secret or auth.hmac_secret_file to the server's"
    )]
    NoSecret,
    #[error(
        "no secret to sign with: tokens for auth.public_key and auth.jwks must be signed with the private key"
    )]
    SignedElsewhere,
    #[error("auth.hmac_secret_file: cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("{}", .0.message())]
    Unsigned(#[from] Error),
}

fn token(arguments: &TokenArguments, auth: &AuthSettings) -> Result<String, TokenError> {
    let secret = match auth.signing_secret()? {
        Some(secret) => secret,
        None if auth.has_key() => return Err(TokenError::SignedElsewhere),
        None => return Err(TokenError::NoSecret),
    };
    let claims = TokenClaims {
        sub: arguments.sub.clone(),
        name: arguments.name.clone(),
        info: arguments.info.clone(),
        // Without rules the server's default grants apply; an empty list would grant nothing.
        rooms: match arguments.rooms.as_slice() {
            [] => None,
            rules => Some(Grants::parse(&rules.join(";"))?),
        },
        ttl: Some(arguments.ttl),
        iss: auth.issuer.clone(),
        aud: auth.audience.clone(),
    };
    Ok(auth::issue(secret.expose(), &claims, Timestamp::now())?)
}

fn message_of(error: &Error) -> String {
    error.message().to_owned()
}

fn parse_user(text: &str) -> Result<UserId, String> {
    UserId::parse(text).map_err(|error| message_of(&error))
}

fn parse_name(text: &str) -> Result<Arc<str>, String> {
    auth::parse_name(text)
        .map_err(|error| message_of(&error))?
        .ok_or_else(|| "a name has at least one character".to_owned())
}

fn parse_info(text: &str) -> Result<Arc<RawValue>, String> {
    let json = RawValue::from_string(text.to_owned())
        .map_err(|error| format!("expected a JSON object: {error}"))?;
    auth::parse_info(json).map_err(|error| message_of(&error))
}

fn parse_room(text: &str) -> Result<String, String> {
    let grants = Grants::parse(text).map_err(|error| message_of(&error))?;
    Ok(grants.to_string())
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|ttl| ttl.as_secs() > 0)
        .ok_or_else(|| format!("expected {}", Duration::expected()))
}
