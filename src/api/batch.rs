//! Several calls in one request: one after another, in order, as if each had come alone.

use std::time::Instant;

use axum::{
    Extension, Json, Router,
    body::{Body, HttpBody},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Uri, header};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tower::ServiceExt;
use utoipa::ToSchema;

use super::{
    Api,
    settling::{Later, Sending},
};
use crate::{
    error::{Code, Error, Result},
    http::body::{BodyLimits, JsonBody},
    hub::Visitor,
};

/// Calls that one batch may hold.
const MOST: usize = 100;

/// Bytes of answers that cost nothing of the node's memory.
const FREE: usize = 16 << 10;

/// Bytes of an answer that is kept whatever there is of memory.
const SMALL: u64 = 4 << 10;

/// Bytes of answers behind which a batch does nothing more: they are held until the last is there.
const ANSWER_BYTES: u64 = 8 << 20;

/// The calls that may stand in a batch.
#[derive(Clone)]
pub(super) struct Calls(Router);

impl Calls {
    pub(super) fn new(router: Router) -> Self {
        Self(router)
    }
}

/// Several calls.
#[derive(Deserialize, ToSchema)]
#[serde(expecting = "{ requests }")]
#[schema(example = json!({ "requests": [
    { "method": "POST", "path": "/v1/rooms/lobby/messages", "body": { "data": { "text": "hello" } } },
    { "method": "GET", "path": "/v1/rooms/lobby" }
] }))]
pub(super) struct Batch {
    /// In the order in which they are done; at most 100.
    #[schema(max_items = 100)]
    requests: Vec<Call>,
}

/// One call.
#[derive(Deserialize, ToSchema)]
#[serde(expecting = "{ method, path, body? }")]
pub(super) struct Call {
    method: CallMethod,
    /// The path, with its query if it has one, as a request of its own would have it.
    #[schema(example = "/v1/rooms/lobby/messages")]
    path: String,
    /// The body, if the call takes one.
    #[schema(value_type = Option<serde_json::Value>)]
    body: Option<Box<RawValue>>,
}

/// A method of HTTP.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum CallMethod {
    /// Reads.
    Get,
    /// Sends.
    Post,
    /// Takes away.
    Delete,
}

/// What the calls were answered.
#[derive(Serialize, ToSchema)]
pub(super) struct Answers {
    /// In the order of the requests.
    responses: Vec<Answer>,
}

/// What one call was answered.
#[derive(Serialize, ToSchema)]
pub(super) struct Answer {
    /// The status that it would have had alone.
    #[schema(minimum = 200, maximum = 599, example = 201)]
    status: u16,
    /// The body that it would have had alone.
    #[schema(value_type = serde_json::Value)]
    body: Box<RawValue>,
}

/// Do several calls at once.
///
/// In order, in the name of whoever sends the batch; one that fails does not keep the others from being done. Messages
/// that follow each other are stored together. Behind 8 MiB of answers nothing more is done: the calls that are left are
/// answered 413.
#[utoipa::path(
    post,
    path = "/v1/batch",
    operation_id = "run_batch",
    tag = "batch",
    request_body = Batch,
    responses((status = 200, description = "Every call was answered, each with its own status.", body = Answers))
)]
pub(super) async fn run(
    State(api): State<Api>,
    Extension(calls): Extension<Calls>,
    Extension(visitor): Extension<Visitor>,
    Extension(limits): Extension<BodyLimits>,
    JsonBody(batch): JsonBody<Batch>,
) -> Result<Json<Answers>> {
    if batch.requests.len() > MOST {
        let count = batch.requests.len();
        let message = format!("a batch holds at most {MOST} requests, this one has {count}");
        return Err(Error::bad_request(message));
    }
    // Besides what its calls take: those that are none would come at no rate at all.
    api.hub.take_message_permit(&visitor, Instant::now())?;
    let mut done = Vec::with_capacity(batch.requests.len());
    let mut held = api.hub.charge_memory(&visitor, FREE);
    let mut bytes = 0;
    for call in batch.requests {
        if !call.joins_messages() {
            settle(&mut done).await;
        }
        let begun = match bytes > ANSWER_BYTES {
            true => Begun::Answered(too_much().into_response()),
            false => calls.begin(call, &visitor, &limits).await,
        };
        let more = begun.bytes();
        let covered = held.cover(usize::try_from(bytes + more).unwrap_or(usize::MAX));
        done.push(match covered {
            // What was read can be read again; what was done is told of in few bytes.
            Err(why) if more > SMALL => Begun::Answered(why.into_memory_error().into_response()),
            _ => {
                bytes += more;
                begun
            }
        });
    }
    settle(&mut done).await;
    let mut responses = Vec::with_capacity(done.len());
    for begun in done {
        if let Begun::Answered(response) = begun {
            responses.push(Answer::of(response).await?);
        }
    }
    Ok(Json(Answers { responses }))
}

fn too_much() -> Error {
    let message = format!(
        "not done: the answers before this one have more than {ANSWER_BYTES} bytes; send it in another batch"
    );
    Error::new(Code::TooLarge, message)
}

impl Call {
    /// Whether it need not wait until the messages before it are stored. A reader is to find those, and what is not kept
    /// would be delivered ahead of them.
    fn joins_messages(&self) -> bool {
        #[derive(Deserialize)]
        struct Kept {
            ephemeral: Option<serde::de::IgnoredAny>,
        }
        let body = self.body.as_deref().map_or("", RawValue::get);
        matches!(self.method, CallMethod::Post)
            && serde_json::from_str::<Kept>(body).is_ok_and(|kept| kept.ephemeral.is_none())
    }
}

/// A call that is done, or a message on its way to the log.
enum Begun {
    Answered(Response),
    Sending(Sending),
}

impl Begun {
    /// What is held of it until the others are done.
    fn bytes(&self) -> u64 {
        match self {
            Begun::Answered(response) => response.body().size_hint().lower(),
            Begun::Sending(_) => 0,
        }
    }
}

/// Waits for every message that is on its way.
async fn settle(done: &mut [Begun]) {
    for begun in done {
        let taken = std::mem::replace(begun, Begun::Answered(Response::default()));
        *begun = Begun::Answered(match taken {
            Begun::Answered(response) => response,
            Begun::Sending(sending) => sending.answer().await.into_response(),
        });
    }
}

impl Calls {
    async fn begin(&self, call: Call, visitor: &Visitor, limits: &BodyLimits) -> Begun {
        let request = match request(call) {
            Ok(request) => request,
            Err(error) => return Begun::Answered(error.into_response()),
        };
        let later = Later::default();
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(visitor.clone());
        parts.extensions.insert(limits.clone());
        parts.extensions.insert(later.clone());
        let request = Request::from_parts(parts, body);
        let response = match self.0.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        match later.take() {
            Some(sending) => Begun::Sending(sending),
            None => Begun::Answered(response),
        }
    }
}

/// A call as a request of its own.
fn request(call: Call) -> Result<Request> {
    let path = call
        .path
        .parse::<Uri>()
        .ok()
        .filter(|uri| uri.authority().is_none() && uri.path().starts_with("/v1/"))
        .ok_or_else(|| {
            Error::bad_request("a path begins with /v1/, and is escaped as in an address")
        })?;
    if path.path() == "/v1/batch" {
        return Err(Error::bad_request("a batch holds no batch"));
    }
    let body = call.body.map(Box::<str>::from).unwrap_or_default();
    let mut request = Request::new(Body::from(String::from(body)));
    *request.method_mut() = match call.method {
        CallMethod::Get => Method::GET,
        CallMethod::Post => Method::POST,
        CallMethod::Delete => Method::DELETE,
    };
    *request.uri_mut() = path;
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(request)
}

impl Answer {
    async fn of(response: Response) -> Result<Self> {
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(|error| {
            Error::new(Code::Internal, "an answer could not be read").caused_by(error)
        })?;
        Ok(Self {
            status,
            body: json(&body.to_bytes())?,
        })
    }
}

fn json(body: &Bytes) -> Result<Box<RawValue>> {
    serde_json::from_slice(body)
        .map_err(|error| Error::new(Code::Internal, "an answer is no JSON").caused_by(error))
}

#[cfg(test)]
mod tests;
