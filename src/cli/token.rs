//! `switchboard token`: a token for trying things out, signed with the configured secret.

use std::{process::ExitCode, sync::Arc, time::Duration};

use serde_json::value::RawValue;

use crate::{
    auth::{self, AuthSettings, Grants, TokenClaims},
    config::{OptionValue, parse_duration},
    error::Error,
    model::{Timestamp, UserId},
};

/// What the token says of its user: the flags of `switchboard token`, beside those of `[auth]`.
#[derive(clap::Args)]
pub(super) struct TokenRequest {
    /// Id of the user
    #[arg(long, value_parser = parse_user)]
    sub: UserId,
    /// Name to show
    #[arg(long, value_parser = parse_name)]
    name: Option<Arc<str>>,
    /// Object to show in presence
    #[arg(long, value_name = "JSON", value_parser = parse_info)]
    info: Option<Arc<RawValue>>,
    /// What the user may do in which rooms, such as 'team:*=join,publish'; can be given several times
    #[arg(long = "room", value_name = "PATTERN=ACTIONS", value_parser = parse_room)]
    rooms: Vec<String>,
    /// How long the token is good
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_ttl)]
    ttl: Duration,
}

/// Prints a token, or says what is missing for one.
pub(super) fn run(request: &TokenRequest, auth: &AuthSettings) -> ExitCode {
    match token(request, auth) {
        Ok(token) => {
            println!("{token}");
            ExitCode::SUCCESS
        }
        Err(reason) => super::refuse(&reason),
    }
}

#[derive(Debug, thiserror::Error)]
enum NoToken {
    #[error(
        "no secret to sign with: set auth.hmac_secret or auth.hmac_secret_file, to what the server has"
    )]
    NoSecret,
    #[error(
        "no secret to sign with: tokens for auth.public_key and auth.jwks are signed by whoever has the private key"
    )]
    SignedElsewhere,
    #[error("auth.hmac_secret_file: cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("{}", .0.message())]
    Unsigned(#[from] Error),
}

fn token(request: &TokenRequest, auth: &AuthSettings) -> Result<String, NoToken> {
    let secret = match auth.signing_secret()? {
        Some(secret) => secret,
        None if auth.has_key() => return Err(NoToken::SignedElsewhere),
        None => return Err(NoToken::NoSecret),
    };
    let claims = TokenClaims {
        sub: request.sub.clone(),
        name: request.name.clone(),
        info: request.info.clone(),
        // Without rules the server's default grants apply; an empty list would allow nothing.
        rooms: match request.rooms.as_slice() {
            [] => None,
            rules => Some(Grants::parse(&rules.join(";"))?),
        },
        ttl: Some(request.ttl),
        iss: auth.issuer.clone(),
        aud: auth.audience.clone(),
    };
    Ok(auth::issue(secret.expose(), &claims, Timestamp::now())?)
}

fn said(error: &Error) -> String {
    error.message().to_owned()
}

fn parse_user(text: &str) -> Result<UserId, String> {
    UserId::parse(text).map_err(|error| said(&error))
}

fn parse_name(text: &str) -> Result<Arc<str>, String> {
    auth::parse_name(text)
        .map_err(|error| said(&error))?
        .ok_or_else(|| "a name has at least one character".to_owned())
}

fn parse_info(text: &str) -> Result<Arc<RawValue>, String> {
    let json = RawValue::from_string(text.to_owned())
        .map_err(|error| format!("expected a JSON object: {error}"))?;
    auth::parse_info(json).map_err(|error| said(&error))
}

fn parse_room(text: &str) -> Result<String, String> {
    let grants = Grants::parse(text).map_err(|error| said(&error))?;
    Ok(grants.to_string())
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|ttl| ttl.as_secs() > 0)
        .ok_or_else(|| format!("expected {}", Duration::expected()))
}
