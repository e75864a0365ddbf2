//! The keys that every table of an endpoint has: where it is, and what it is signed with.

use std::{fs, path::PathBuf};

use reqwest::Url;

use super::SigningKey;
use crate::options::{Secret, SecretUrl, TableReader};

/// A URL without what is secret in it.
pub(super) fn shown_url(url: &Url) -> String {
    SecretUrl::new(url.as_str()).to_string()
}

/// Reads where the endpoint is; `None` after a problem.
pub(super) fn read_url(table: &mut TableReader<'_>) -> Option<Url> {
    let expected = "a URL such as https://app.example/realtime";
    if !table.has("url") {
        table.get::<SecretUrl>("url");
        table.problem("url", format!("is not set; expected {expected}"));
        return None;
    }
    let text = table.get::<SecretUrl>("url")?;
    let url = Url::parse(text.expose()).ok();
    let url = url.filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.fragment().is_none()
    });
    if url.is_none() {
        table.problem(
            "url",
            format!("is no URL of http or https; expected {expected}"),
        );
    }
    url
}

/// Reads what the endpoint is signed with, from the table or a file; `None` if there is no secret, or after a problem.
pub(super) fn read_key(table: &mut TableReader<'_>) -> Option<SigningKey> {
    let secret = table.get::<Secret>("secret");
    let file = table.get::<PathBuf>("secret_file");
    if table.has("secret") && table.has("secret_file") {
        table.problem("secret_file", "secret is set, too; keep one");
        return None;
    }
    let (at, secret) = match (secret, file) {
        (Some(secret), _) => ("secret", secret),
        (None, Some(file)) => match fs::read_to_string(&file) {
            Ok(text) => ("secret_file", Secret::new(text.trim_ascii())),
            Err(error) => {
                let message = format!("{} cannot be read: {error}", file.display());
                table.problem("secret_file", message);
                return None;
            }
        },
        (None, None) => return None,
    };
    let key = SigningKey::parse(secret.expose());
    if key.is_none() {
        table.problem(
            at,
            format!("is no secret; expected {}", SigningKey::EXPECTED),
        );
    }
    key
}
