//! Documents of Yjs clients: listing and deleting them, reading one as an update, and changing it by one.

use std::time::Instant;

use axum::{
    Extension, Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::{Api, access::require_api_key, params::Bounded, schema};
use crate::{
    error::{Error, Result},
    http::{
        HttpError,
        body::read_binary,
        params::{PathParams, QueryParams},
    },
    hub::{DocumentState, DocumentsPage, DocumentsRequest, StatelessCaller},
    model::{MAX_NAME_BYTES, PERSONAL_ROOM_PREFIX, RoomName},
};

/// The content type of updates.
const BINARY: &str = "application/octet-stream";

/// base64url, with or without padding.
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The document in a call's path.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct DocumentPath {
    /// The document; a slash in its name is written `%2F`.
    doc: RoomName,
}

/// Query of a document list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DocumentsQuery {
    /// Only those whose names begin with this.
    #[serde(default)]
    #[param(required = false, max_length = 133)]
    prefix: String,
    /// Page size.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<Bounded<1, 1000>>,
    /// `next` of the previous page.
    #[param(
        value_type = Option<String>,
        min_length = 1,
        max_length = 133,
        pattern = r"^[^\s\u0000-\u001f\u007f-\u009f]+$"
    )]
    cursor: Option<RoomName>,
}

/// List the documents.
///
/// All that are stored, by name, whether or not anybody has them open. Requires an API key.
#[utoipa::path(
    get,
    path = "/v1/documents",
    operation_id = "list_documents",
    tag = "documents",
    params(DocumentsQuery),
    responses((status = 200, description = "Some of the documents.", body = schema::DocumentsSchema))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    QueryParams(query): QueryParams<DocumentsQuery>,
) -> Result<Json<DocumentsPage>> {
    require_api_key(&caller)?;
    let max_bytes = PERSONAL_ROOM_PREFIX.len() + MAX_NAME_BYTES;
    if query.prefix.chars().count() > max_bytes {
        return Err(Error::bad_request(format!(
            "no document's name has more than {max_bytes} bytes"
        )));
    }
    let request = DocumentsRequest {
        prefix: query.prefix,
        after: query.cursor,
        limit: query.limit.map(Bounded::count),
    };
    api.hub.list_documents(&request).await.map(Json)
}

/// Look at one document.
///
/// Its size, how much of it is not merged yet, and when it changed. Requires the `read` grant.
#[utoipa::path(
    get,
    path = "/v1/documents/{doc}",
    operation_id = "get_document",
    tag = "documents",
    params(DocumentPath),
    responses(
        (status = 200, description = "How it is.", body = schema::DocumentStateSchema),
        (status = 404, description = "There is no such document.", body = schema::RefusalSchema),
    )
)]
pub(super) async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    PathParams(DocumentPath { doc }): PathParams<DocumentPath>,
) -> Result<Json<DocumentState>> {
    api.hub.take_non_member_permit(&caller, Instant::now())?;
    api.hub.document(&caller, &doc).await.map(Json)
}

/// Result of a deletion.
#[derive(Serialize)]
pub(super) struct DeletedDocument {
    document: RoomName,
    clients: usize,
}

/// Delete a document.
///
/// Clients that have it open are not told. They keep it, and what they write next begins it again; with all that they have once they
/// connect again. To delete it for good, disconnect them first. Requires an API key.
#[utoipa::path(
    delete,
    path = "/v1/documents/{doc}",
    operation_id = "delete_document",
    tag = "documents",
    params(DocumentPath),
    responses(
        (status = 200, description = "It is deleted.", body = schema::DeletedDocumentSchema),
        (status = 404, description = "There is no such document.", body = schema::RefusalSchema),
    )
)]
pub(super) async fn delete(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    PathParams(DocumentPath { doc }): PathParams<DocumentPath>,
) -> Result<Json<DeletedDocument>> {
    require_api_key(&caller)?;
    let clients = api.hub.delete_document(&doc).await?;
    Ok(Json(DeletedDocument {
        document: doc,
        clients,
    }))
}

/// Query of a document's content.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StateQuery {
    /// A state vector of Yjs (`Y.encodeStateVector`) in base64url: only what is missing there.
    #[param(example = "AA")]
    state_vector: Option<String>,
}

/// Read a document.
///
/// The whole document, or what a state vector lacks, as one update of Yjs for `Y.applyUpdate` (version 1). Requires the `read` grant.
/// Not in a batch.
#[utoipa::path(
    get,
    path = "/v1/documents/{doc}/state",
    operation_id = "read_document",
    tag = "documents",
    params(DocumentPath, StateQuery),
    responses(
        (status = 200, description = "One update.", content_type = "application/octet-stream", body = schema::UpdateSchema),
        (status = 404, description = "There is no such document.", body = schema::RefusalSchema),
    )
)]
pub(super) async fn state(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    PathParams(DocumentPath { doc }): PathParams<DocumentPath>,
    QueryParams(StateQuery { state_vector }): QueryParams<StateQuery>,
) -> Result<Response> {
    let state_vector = state_vector.as_deref().map(decode).transpose()?;
    api.hub.take_non_member_permit(&caller, Instant::now())?;
    let update = api.hub.read_document(&caller, &doc, state_vector).await?;
    Ok(([(header::CONTENT_TYPE, BINARY)], update).into_response())
}

fn decode(state_vector: &str) -> Result<Bytes> {
    let decoded = BASE64_URL.decode(state_vector);
    let decoded = decoded.map_err(|error| {
        Error::bad_request(format!("state_vector is not in base64url: {error}"))
    })?;
    Ok(decoded.into())
}

/// Result of an update.
#[derive(Serialize)]
pub(super) struct StoredUpdate {
    document: RoomName,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
}

/// Change a document.
///
/// By one update of Yjs, as `Y.encodeStateAsUpdate` and the event `update` of a document make them (version 1), of at most
/// `documents.update_bytes`. A document begins with its first update. The response comes once it is stored; all clients that have the
/// document open get it. The same update again changes nothing. Requires the `write` grant. Not in a batch.
#[utoipa::path(
    post,
    path = "/v1/documents/{doc}/updates",
    operation_id = "update_document",
    tag = "documents",
    params(DocumentPath),
    request_body(content = schema::UpdateSchema, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "Stored.", body = schema::StoredUpdateSchema),
        (status = 200, description = "The update says nothing: nothing was stored.", body = schema::StoredUpdateSchema),
    )
)]
pub(super) async fn update(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    PathParams(DocumentPath { doc }): PathParams<DocumentPath>,
    request: Request,
) -> Result<Response, HttpError> {
    api.hub.take_message_permit(&caller, Instant::now())?;
    // Before the body is read.
    api.hub.check_may_write(&caller, &doc)?;
    let max = api.hub.documents().settings().update_bytes.bytes();
    let (update, _charge) = read_binary(request, max, "documents.update_bytes").await?;
    let number = api.hub.update_document(&caller, &doc, update).await?;
    let status = match number {
        Some(_) => StatusCode::CREATED,
        None => StatusCode::OK,
    };
    let stored = StoredUpdate {
        document: doc,
        number,
    };
    Ok((status, Json(stored)).into_response())
}
