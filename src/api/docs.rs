//! The OpenAPI document, and a page to read it and to try the calls.
//!
//! The page and its files are embedded in the binary; its content security policy forbids loading anything from elsewhere.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Extension,
    extract::{OriginalUri, Path},
    response::{Html, IntoResponse, Response},
};
use bytes::Bytes;
use dashmap::DashMap;
use http::{HeaderValue, header};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Ref, RefOr, ResponseBuilder,
        content::ContentBuilder,
        path::Operation,
        security::{
            ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
        },
        server::ServerBuilder,
    },
};
use utoipa_swagger_ui::{Config, serve};

use super::schema;
use crate::http::{StaticBody, not_found};

/// The page may load its own files, and images inlined in its style sheet.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; \
                      base-uri 'self'; frame-ancestors 'none'";

const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <base href="docs/">
    <title>Switchboard API</title>
    <link rel="stylesheet" href="swagger-ui.css">
    <link rel="stylesheet" href="index.css">
    <link rel="icon" type="image/png" href="favicon-32x32.png" sizes="32x32">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="swagger-ui-bundle.js"></script>
    <script src="swagger-ui-standalone-preset.js"></script>
    <script src="swagger-initializer.js"></script>
  </body>
</html>
"#;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Switchboard",
        description = "Rooms, messages and users of a Switchboard server, for back ends (with an API key) and for users \
                       without a connection (with their token). Errors have one shape everywhere; every answer has an \
                       `x-request-id`, the request's own if it brings one.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "messages", description = "Sending to rooms, and reading what was sent"),
        (name = "rooms", description = "Which rooms there are, and who is in them"),
        (name = "documents", description = "Documents that clients of Yjs edit together"),
        (name = "users", description = "Users over all rooms"),
        (name = "operation", description = "Statistics, and what operators do"),
        (name = "hooks", description = "Back ends that answer for what happens, and that are told of it"),
        (name = "batch", description = "Several calls in one request"),
        (name = "description", description = "This description"),
    ),
    components(schemas(schema::RefusalSchema)),
    modifiers(&SecuritySchemes),
    security(("api_key" = []), ("token" = []), ("query_token" = [])),
)]
struct BaseDocument;

/// How callers authenticate.
struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = |format: Option<&str>, description: &str| {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
            let scheme = match format {
                Some(format) => scheme.bearer_format(format),
                None => scheme,
            };
            SecurityScheme::Http(scheme.description(Some(description)).build())
        };
        let components = document.components.get_or_insert_default();
        let key = bearer(None, "One of auth.api_keys: may do everything.");
        let token = bearer(Some("JWT"), "A user's token: what its grants allow.");
        let query = ApiKeyValue::with_description("token", "A user's token.");
        components.add_security_scheme("api_key", key);
        components.add_security_scheme("token", token);
        components.add_security_scheme("query_token", SecurityScheme::ApiKey(ApiKey::Query(query)));
    }
}

/// The path of the page's files.
pub(super) const FILE_PATH: &str = "/v1/docs/{file}";

/// The document without any calls, of a server whose calls are below `prefix`.
pub(super) fn base_document(prefix: &str) -> utoipa::openapi::OpenApi {
    let mut document = BaseDocument::openapi();
    let url = if prefix.is_empty() { "/" } else { prefix };
    let server = ServerBuilder::new()
        .url(url)
        .description(Some("This server"));
    document.servers = Some(vec![server.build()]);
    document
}

/// An error response that calls share.
struct ErrorResponse {
    status: &'static str,
    name: &'static str,
    description: &'static str,
    /// Applies only to calls that have a body.
    for_bodies: bool,
}

impl ErrorResponse {
    const fn for_all_calls(
        status: &'static str,
        name: &'static str,
        description: &'static str,
    ) -> Self {
        Self {
            status,
            name,
            description,
            for_bodies: false,
        }
    }

    const fn for_bodies(
        status: &'static str,
        name: &'static str,
        description: &'static str,
    ) -> Self {
        Self {
            for_bodies: true,
            ..Self::for_all_calls(status, name, description)
        }
    }
}

const ERROR_RESPONSES: [ErrorResponse; 9] = [
    ErrorResponse::for_all_calls(
        "400",
        "BadRequest",
        "Malformed: the message says what was expected.",
    ),
    ErrorResponse::for_all_calls(
        "401",
        "Unauthorized",
        "No API key and no token, or one that is not good (any more).",
    ),
    ErrorResponse::for_all_calls(
        "403",
        "Forbidden",
        "Not allowed to this identity, or to pages of this origin.",
    ),
    ErrorResponse::for_bodies("408", "TooSlow", "The body took too long to arrive."),
    ErrorResponse::for_bodies(
        "413",
        "TooLarge",
        "The body, or the data in it, is larger than configured.",
    ),
    ErrorResponse::for_bodies(
        "415",
        "WrongType",
        "The body is declared as something else than what is expected.",
    ),
    ErrorResponse::for_all_calls("429", "RateLimited", "Faster than a configured rate."),
    ErrorResponse::for_all_calls("500", "Internal", "A defect of the server."),
    ErrorResponse::for_all_calls(
        "503",
        "Unavailable",
        "Storage, or the keys that tokens are checked with, cannot be reached now. Repeat it with the same id.",
    ),
];

/// Adds the error responses of all calls, and the open mode's security.
pub(super) fn add_common_responses(document: &mut utoipa::openapi::OpenApi, open: bool) {
    let components = document.components.get_or_insert_default();
    for ErrorResponse {
        name, description, ..
    } in ERROR_RESPONSES
    {
        let body = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Refusal")))
            .build();
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/json", body)
            .build();
        components
            .responses
            .insert(name.to_owned(), response.into());
    }
    if open {
        // Calls without credentials are made as a guest.
        let security = document.security.get_or_insert_default();
        security.push(SecurityRequirement::default());
    }
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.delete];
        operations
            .into_iter()
            .flatten()
            .for_each(add_error_responses);
    }
}

/// The document's own calls need no authentication and cannot fail.
fn add_error_responses(operation: &mut Operation) {
    if operation.security.is_some() {
        return;
    }
    let has_body = operation.request_body.is_some();
    for response in ERROR_RESPONSES {
        if has_body || !response.for_bodies {
            let reference = RefOr::Ref(Ref::from_response_name(response.name));
            operation
                .responses
                .responses
                .insert(response.status.to_owned(), reference);
        }
    }
}

/// The encoded document.
#[derive(Clone)]
pub(super) struct Document(Bytes);

impl Document {
    pub(super) fn new(document: &utoipa::openapi::OpenApi) -> Self {
        Self(document.to_json().expect("strings and numbers").into())
    }
}

/// Read this description.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    operation_id = "get_description",
    tag = "description",
    security(()),
    responses((status = 200, description = "OpenAPI 3.1.", body = serde_json::Value))
)]
pub(super) async fn openapi(Extension(document): Extension<Document>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, Extension(StaticBody), document.0).into_response()
}

/// Read and try the calls on a page.
#[utoipa::path(
    get,
    path = "/v1/docs",
    operation_id = "get_page",
    tag = "description",
    security(()),
    responses((status = 200, description = "A page for browsers.", body = String, content_type = "text/html"))
)]
pub(super) async fn page() -> Response {
    let policy = [(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY)];
    (policy, Extension(StaticBody), Html(PAGE)).into_response()
}

/// The files of the page.
#[derive(Clone)]
pub(super) struct PageFiles {
    config: Arc<Config<'static>>,
    files: Arc<DashMap<String, PageFile>>,
}

/// A file of the page; all responses share its bytes.
#[derive(Clone)]
struct PageFile {
    bytes: Bytes,
    kind: HeaderValue,
    compressed: bool,
}

impl PageFiles {
    /// The files of a page that shows the document below `prefix`.
    pub(super) fn new(prefix: &str) -> Self {
        let config = Config::from(format!("{prefix}/v1/openapi.json"))
            .validator_url("none")
            .display_request_duration(true);
        Self {
            config: Arc::new(config),
            files: Arc::default(),
        }
    }

    /// The file of this name, if there is one.
    fn named(&self, name: &str) -> Option<PageFile> {
        if let Some(file) = self.files.get(name) {
            return Some(file.clone());
        }
        // Only existing files are cached, so their number is bounded.
        let file = PageFile::read(name, self.config.clone())?;
        self.files.insert(name.to_owned(), file.clone());
        Some(file)
    }
}

impl PageFile {
    fn read(name: &str, config: Arc<Config<'static>>) -> Option<Self> {
        let file = serve(name, config).ok()??;
        Some(Self {
            bytes: match file.bytes {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => bytes.into(),
            },
            kind: HeaderValue::from_str(&file.content_type).ok()?,
            compressed: file.gzpipped,
        })
    }
}

/// Serves a file of the page.
pub(super) async fn file(
    Path(name): Path<String>,
    Extension(files): Extension<PageFiles>,
    uri: OriginalUri,
) -> Response {
    let Some(file) = files.named(&name) else {
        return not_found(uri).await;
    };
    let mut response = (Extension(StaticBody), file.bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, file.kind);
    if file.compressed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CONTENT_SECURITY_POLICY),
    );
    response
}
