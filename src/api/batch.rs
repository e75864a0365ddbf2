//! Several calls in one request: one after another, in order, as if each had come alone.

use std::{sync::Arc, time::Instant};

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
    pending_publish::{DeferredPublish, PendingPublish},
};
use crate::{
    error::{Code, Error, Result},
    http::body::{BodyLimits, JsonBody},
    hub::StatelessCaller,
};

/// Maximum calls in one batch.
const MAX_CALLS: usize = 100;

/// Bytes of responses that are not charged to the memory budget.
const UNCHARGED_BYTES: usize = 16 << 10;

/// Bytes of a response that is kept even if memory is exhausted.
const ALWAYS_KEPT_BYTES: u64 = 4 << 10;

/// Bytes of responses after which a batch executes nothing more: they are held until the last one is there.
const MAX_RESPONSE_BYTES: u64 = 8 << 20;

/// What the paths of calls begin with.
const BELOW: &str = "/v1/";

/// Routes the calls of a batch.
#[derive(Clone)]
pub(super) struct CallRouter {
    router: Router,
    /// `http.prefix`, which the paths of calls may begin with.
    prefix: Arc<str>,
}

impl CallRouter {
    pub(super) fn new(router: Router, prefix: &str) -> Self {
        Self {
            router,
            prefix: prefix.into(),
        }
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
    /// Executed in this order; at most 100.
    #[schema(max_items = 100)]
    requests: Vec<Call>,
}

/// One call.
#[derive(Deserialize, ToSchema)]
#[serde(expecting = "{ method, path, body? }")]
pub(super) struct Call {
    method: CallMethod,
    /// The path, with its query if there is one, as in a request of its own.
    #[schema(example = "/v1/rooms/lobby/messages")]
    path: String,
    /// The body, if the call takes one.
    #[schema(value_type = Option<serde_json::Value>)]
    body: Option<Box<RawValue>>,
}

/// An HTTP method.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum CallMethod {
    /// Reads.
    Get,
    /// Sends.
    Post,
    /// Deletes.
    Delete,
}

/// The responses to a batch.
#[derive(Serialize, ToSchema)]
#[schema(as = Answers)]
pub(super) struct BatchResponse {
    /// In the order of the requests.
    responses: Vec<CallResponse>,
}

/// The response to one call.
#[derive(Serialize, ToSchema)]
#[schema(as = Answer)]
pub(super) struct CallResponse {
    /// The status that it would have had alone.
    #[schema(minimum = 200, maximum = 599, example = 201)]
    status: u16,
    /// The body that it would have had alone.
    #[schema(value_type = serde_json::Value)]
    body: Box<RawValue>,
}

/// Do several calls at once.
///
/// In order, in the name of the caller; a call that fails does not stop the others. Consecutive messages are stored together.
/// After 8 MiB of responses nothing more is executed: the remaining calls fail with 413.
#[utoipa::path(
    post,
    path = "/v1/batch",
    operation_id = "run_batch",
    tag = "batch",
    request_body = Batch,
    responses((status = 200, description = "Every call has a response with its own status.", body = BatchResponse))
)]
pub(super) async fn run(
    State(api): State<Api>,
    Extension(calls): Extension<CallRouter>,
    Extension(caller): Extension<StatelessCaller>,
    Extension(limits): Extension<BodyLimits>,
    JsonBody(batch): JsonBody<Batch>,
) -> Result<Json<BatchResponse>> {
    if batch.requests.len() > MAX_CALLS {
        let count = batch.requests.len();
        let message = format!("a batch holds at most {MAX_CALLS} requests, this one has {count}");
        return Err(Error::bad_request(message));
    }
    // In addition to the permits of its calls: malformed ones take none.
    api.hub.take_message_permit(&caller, Instant::now())?;
    let mut done = Vec::with_capacity(batch.requests.len());
    let mut held = api.hub.charge_memory(&caller, UNCHARGED_BYTES);
    let mut bytes = 0;
    for call in batch.requests {
        if !call.can_follow_unstored_messages() {
            wait_until_stored(&mut done).await;
        }
        let result = match bytes > MAX_RESPONSE_BYTES {
            true => CallResult::Done(too_large().into_response()),
            false => calls.execute(call, &caller, &limits).await,
        };
        let more = result.bytes();
        let resized = held.resize(usize::try_from(bytes + more).unwrap_or(usize::MAX));
        done.push(match resized {
            // A read can be repeated; the result of a write is small.
            Err(why) if more > ALWAYS_KEPT_BYTES => {
                CallResult::Done(why.into_memory_error().into_response())
            }
            _ => {
                bytes += more;
                result
            }
        });
    }
    wait_until_stored(&mut done).await;
    let mut responses = Vec::with_capacity(done.len());
    for result in done {
        if let CallResult::Done(response) = result {
            responses.push(CallResponse::of(response).await?);
        }
    }
    Ok(Json(BatchResponse { responses }))
}

fn too_large() -> Error {
    let message = format!(
        "not executed: the responses before this one have more than {MAX_RESPONSE_BYTES} bytes; send it in another batch"
    );
    Error::new(Code::TooLarge, message)
}

impl Call {
    /// Whether it may run before the messages ahead of it are stored: only if it stores one, too. A read has to see them, and an
    /// ephemeral event would be delivered ahead of them.
    fn can_follow_unstored_messages(&self) -> bool {
        #[derive(Deserialize)]
        struct PublishBody {
            ephemeral: Option<serde::de::IgnoredAny>,
        }
        let body = self.body.as_deref().map_or("", RawValue::get);
        matches!(self.method, CallMethod::Post)
            && serde_json::from_str::<PublishBody>(body).is_ok_and(|body| body.ephemeral.is_none())
    }
}

/// A call's response, or its message on the way to the log.
enum CallResult {
    Done(Response),
    Pending(PendingPublish),
}

impl CallResult {
    /// Bytes that are held until the batch is done.
    fn bytes(&self) -> u64 {
        match self {
            CallResult::Done(response) => response.body().size_hint().lower(),
            CallResult::Pending(_) => 0,
        }
    }
}

/// Waits until all messages are stored.
async fn wait_until_stored(done: &mut [CallResult]) {
    for result in done {
        let taken = std::mem::replace(result, CallResult::Done(Response::default()));
        *result = CallResult::Done(match taken {
            CallResult::Done(response) => response,
            CallResult::Pending(pending) => pending.respond().await.into_response(),
        });
    }
}

impl CallRouter {
    async fn execute(
        &self,
        call: Call,
        caller: &StatelessCaller,
        limits: &BodyLimits,
    ) -> CallResult {
        let request = match request(call, &self.prefix) {
            Ok(request) => request,
            Err(error) => return CallResult::Done(error.into_response()),
        };
        let deferred = DeferredPublish::default();
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(caller.clone());
        parts.extensions.insert(limits.clone());
        parts.extensions.insert(deferred.clone());
        let request = Request::from_parts(parts, body);
        let response = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        match deferred.take() {
            Some(pending) => CallResult::Pending(pending),
            None => CallResult::Done(response),
        }
    }
}

/// A call as a request of its own.
fn request(call: Call, prefix: &str) -> Result<Request> {
    let path = call.path.strip_prefix(prefix);
    // The prefix may be /v1 itself.
    let path = path.filter(|rest| rest.starts_with(BELOW));
    let path = path
        .unwrap_or(&call.path)
        .parse::<Uri>()
        .ok()
        .filter(|uri| uri.authority().is_none() && uri.path().starts_with(BELOW))
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

impl CallResponse {
    async fn of(response: Response) -> Result<Self> {
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(|error| {
            Error::new(Code::Internal, "a response could not be read").caused_by(error)
        })?;
        Ok(Self {
            status,
            body: json(&body.to_bytes())?,
        })
    }
}

fn json(body: &Bytes) -> Result<Box<RawValue>> {
    serde_json::from_slice(body)
        .map_err(|error| Error::new(Code::Internal, "a response is not JSON").caused_by(error))
}

#[cfg(test)]
mod tests;
