//! The AsyncAPI document: what clients send and receive, with the data of the events that room policies have schemas for.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;
use serde_json::{Value, json};

use super::Api;
use crate::policies::{EventData, RoomPolicies};

/// The contract's part.
const CONTRACT: &str = include_str!("asyncapi.json");

/// How schemas of events are read; later drafts are read the same, as far as the parser knows them.
const SCHEMA_FORMAT: &str = "application/schema+json;version=draft-07";

/// Read what clients of Socket.IO and of plain WebSockets send and receive.
#[utoipa::path(
    get,
    path = "/v1/asyncapi.json",
    operation_id = "get_events",
    tag = "description",
    security(()),
    responses((status = 200, description = "AsyncAPI 3.0.", body = serde_json::Value))
)]
pub(super) async fn show(State(api): State<Api>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    let document = document(&api.hub.policies()).to_string();
    (kind, document).into_response()
}

fn document(policies: &RoomPolicies) -> Value {
    let mut document: Value = serde_json::from_str(CONTRACT).expect("a file of this crate");
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    for (number, (event, data)) in policies.events().into_iter().enumerate() {
        if event == "message" {
            document["components"]["messages"]["message"]["payload"] = payload(event, &data);
            continue;
        }
        let key = format!("event_{}", number + 1);
        let message = json!({ "name": event, "payload": payload(event, &data) });
        document["components"]["messages"][&key] = message;
        let reference = format!("#/components/messages/{key}");
        document["channels"]["room"]["messages"][&key] = json!({ "$ref": reference });
    }
    document
}

/// The schema of a message whose data is that of an event.
fn payload(event: &str, data: &EventData<'_>) -> Value {
    let data = match data {
        EventData::Any => json!({}),
        EventData::Schemas(schemas) => {
            let schemas = schemas
                .iter()
                .map(|schema| match has_reference(schema.whole()) {
                    // One that refers to itself cannot be moved to another place.
                    true => json!({}),
                    false => without_identity(schema.whole()),
                });
            let mut schemas: Vec<_> = schemas.collect();
            match schemas.len() {
                1 => schemas.remove(0),
                _ => json!({ "anyOf": schemas }),
            }
        }
    };
    let text = json!({ "type": "string" });
    let schema = json!({
        "type": "object",
        "required": ["room", "id", "seq", "event", "from", "data", "ts"],
        "properties": {
            "room": text,
            "id": text,
            "seq": { "type": "integer" },
            "event": { "const": event },
            "from": {},
            "data": data,
            "ts": { "type": "integer" },
        },
    });
    json!({ "schemaFormat": SCHEMA_FORMAT, "schema": schema })
}

fn has_reference(schema: &Value) -> bool {
    match schema {
        Value::Object(keys) => keys.contains_key("$ref") || keys.values().any(has_reference),
        Value::Array(items) => items.iter().any(has_reference),
        _ => false,
    }
}

/// A schema as a part of another.
fn without_identity(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Value::Object(keys) = &mut schema {
        keys.remove("$schema");
        keys.remove("$id");
    }
    schema
}
