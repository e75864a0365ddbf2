//! The server whose documents are read and written, over its REST API.

use std::{error::Error as _, fmt, io, time::Duration};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, RequestBuilder, Url, redirect};
use serde::Deserialize;
use tokio::runtime::Runtime;

use crate::{
    app::install_default_provider,
    cli::health::connect_address,
    config::{Config, Secret},
    model::RoomName,
};

/// How long connecting may take, and how long the server may be silent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// How to set the key.
const SET_A_KEY: &str = "set auth.api_keys to a key of the server: --auth-api-keys KEY, or SWITCHBOARD_AUTH_API_KEYS=KEY";

/// A running server.
pub(super) struct DocumentServer {
    runtime: Runtime,
    client: Client,
    /// Without a slash at its end.
    base: String,
    key: Option<String>,
}

/// Why nothing can be asked of a server.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    #[error("auth.api_keys and auth.admin_key have only the SHA-256 of keys; {SET_A_KEY}")]
    OnlyDigests,
    #[error("starting the runtime failed: {0}")]
    Runtime(#[from] io::Error),
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
}

/// Why a call failed.
#[derive(Debug)]
pub(super) enum CallError {
    /// There was no response, or no end of it.
    Broken { base: String, reason: String },
    /// The server refused it.
    Refused { status: u16, message: String },
    /// Something responded, but no Switchboard.
    Foreign { base: String, status: u16 },
}

#[derive(Deserialize)]
struct ErrorBody {
    message: String,
}

impl DocumentServer {
    /// The server at `url`, or else at the address that the configuration says.
    pub(super) fn new(url: Option<&Url>, config: &Config) -> Result<Self, SetupError> {
        install_default_provider();
        let client = Client::builder()
            .user_agent(concat!("switchboard/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            // A POST that is redirected would become a GET.
            .redirect(redirect::Policy::none());
        let (client, base) = match url {
            Some(url) => (client, url.as_str().trim_end_matches('/').to_owned()),
            None => {
                let address = connect_address(config.listen);
                // A proxy would ask its own machine.
                let base = format!("http://{address}{}", config.http.prefix);
                (client.no_proxy(), base)
            }
        };
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            client: client.build()?,
            base,
            key: key(config)?,
        })
    }

    /// A document as one update.
    pub(super) fn read(&self, name: &RoomName) -> Result<Vec<u8>, CallError> {
        self.call(self.request(Method::GET, name, "state"))
    }

    /// Stores an update of a document.
    pub(super) fn update(&self, name: &RoomName, update: Vec<u8>) -> Result<(), CallError> {
        let request = self.request(Method::POST, name, "updates");
        let request = request.header("content-type", "application/octet-stream");
        self.call(request.body(update)).map(drop)
    }

    fn request(&self, method: Method, name: &RoomName, what: &str) -> RequestBuilder {
        let name = utf8_percent_encode(name.as_str(), NON_ALPHANUMERIC);
        let url = format!("{}/v1/documents/{name}/{what}", self.base);
        let request = self.client.request(method, url);
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    fn call(&self, request: RequestBuilder) -> Result<Vec<u8>, CallError> {
        let answering = async {
            let response = request.send().await?;
            let status = response.status();
            Ok((status, response.bytes().await?))
        };
        let answered: reqwest::Result<_> = self.runtime.block_on(answering);
        let (status, body) = answered.map_err(|error| CallError::Broken {
            base: self.base.clone(),
            reason: innermost(&error),
        })?;
        if status.is_success() {
            return Ok(body.into());
        }
        Err(match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(ErrorBody { message }) => CallError::Refused {
                status: status.as_u16(),
                message,
            },
            Err(_) => CallError::Foreign {
                base: self.base.clone(),
                status: status.as_u16(),
            },
        })
    }
}

/// The first key that is configured in plain text; `None`: none is needed, or it is not known here.
fn key(config: &Config) -> Result<Option<String>, SetupError> {
    let auth = &config.auth;
    let mut keys = auth.api_keys.iter().chain(&auth.admin_key).peekable();
    let has_keys = keys.peek().is_some();
    let plain = keys
        .map(Secret::expose)
        .find(|key| !key.starts_with("sha256:"));
    match plain {
        None if has_keys => Err(SetupError::OnlyDigests),
        plain => Ok(plain.map(str::to_owned)),
    }
}

/// What is at the bottom of an error: the outer ones only say that a request has failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}

/// Parses the address of a server.
pub(super) fn parse_url(text: &str) -> Result<Url, String> {
    let expected = "expected an address such as http://127.0.0.1:3000";
    let url = Url::parse(text).map_err(|error| format!("{error}; {expected}"))?;
    let is_plain = url.query().is_none() && url.fragment().is_none();
    match ["http", "https"].contains(&url.scheme()) && url.has_host() && is_plain {
        true => Ok(url),
        false => Err(expected.to_owned()),
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken { base, reason } => write!(
                f,
                "no response from {base}: {reason}. The server has to run; --url URL says where, if not where the configuration does"
            ),
            Self::Foreign { base, status } => write!(
                f,
                "{base} responded with status {status}, and not as a Switchboard does: --url URL has to be its address with its http.prefix, \
                 and http.routes has to have rest"
            ),
            Self::Refused { status, message } => {
                f.write_str(message)?;
                match status {
                    401 | 403 => write!(f, "; {SET_A_KEY}"),
                    404 => f.write_str("; GET /v1/documents lists those that there are"),
                    413 => f.write_str(
                        "; raise that of the server, and give --documents-update-bytes here what the server has",
                    ),
                    _ => Ok(()),
                }
            }
        }
    }
}
