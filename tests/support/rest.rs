//! A client of the REST API, and whether what it is answered is what the API's description says.

use bytes::Bytes;
use http::HeaderMap;
use reqwest::RequestBuilder;
use serde_json::Value;

use super::Server;

pub const KEY: &str = "the-key-of-the-tests-back-end";

/// Calls the API, with a key, with a token, or as nobody.
pub struct ApiClient {
    client: reqwest::Client,
    base: String,
    bearer: Option<String>,
    header: Option<(&'static str, &'static str)>,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    pub bytes: Bytes,
}

impl Answer {
    /// The body of an answer that has this status.
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

impl ApiClient {
    pub fn new(server: &Server, bearer: Option<&str>) -> Self {
        Self {
            client: reqwest::Client::new(),
            base: server.url(""),
            bearer: bearer.map(str::to_owned),
            header: None,
        }
    }

    /// The same, with a header.
    pub fn with_header(&self, name: &'static str, value: &'static str) -> Self {
        Self {
            client: self.client.clone(),
            base: self.base.clone(),
            bearer: self.bearer.clone(),
            header: Some((name, value)),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.answer(self.client.get(self.url(path))).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.answer(self.client.delete(self.url(path))).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(path, body.to_string()).await
    }

    /// Posts a text as JSON.
    pub async fn send(&self, path: &str, body: String) -> Answer {
        self.send_as(path, "application/json", body).await
    }

    pub async fn send_as(&self, path: &str, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.client.post(self.url(path));
        self.answer(request.header("content-type", kind).body(body))
            .await
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn answer(&self, mut request: RequestBuilder) -> Answer {
        if let Some(bearer) = &self.bearer {
            request = request.bearer_auth(bearer);
        }
        if let Some((name, value)) = self.header {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        Answer {
            status,
            headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
            bytes,
        }
    }
}

/// Fails unless the description knows an operation's answer of this status, and it looks like that.
pub fn conforms(document: &Value, operation: &str, answer: &Answer) {
    let operations = document["paths"].as_object().unwrap().values();
    let described = operations
        .flat_map(|item| item.as_object().unwrap().values())
        .find(|each| each["operationId"] == operation)
        .unwrap_or_else(|| panic!("{operation} is not described"));
    let response = &described["responses"][answer.status.to_string()];
    let response = resolve(document, response);
    let schema = &response["content"]["application/json"]["schema"];
    assert!(
        schema.is_object(),
        "{operation} may not answer {}",
        answer.status
    );
    if let Err(what) = fits(document, schema, &answer.json()) {
        panic!("{operation}: {what} in {}", answer.text);
    }
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("{reference} leads nowhere")),
        None => schema,
    }
}

/// As much of JSON Schema as the description uses; members that it does not know are wrong.
fn fits(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = resolve(document, schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        let any = choices.iter().any(|one| fits(document, one, value).is_ok());
        return any
            .then_some(())
            .ok_or(format!("{value} is none of {choices:?}"));
    }
    let kinds = match &schema["type"] {
        Value::Null => return Ok(()),
        Value::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_kind = |each: &Value| each == kind || (kind == "integer" && each == "number");
    if !kinds.iter().any(is_kind) {
        return Err(format!("{value} is not {kinds:?}"));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return Err(format!("{value} is none of {words:?}"));
    }
    for item in value.as_array().into_iter().flatten() {
        fits(document, &schema["items"], item)?;
    }
    let Some((members, known)) = value.as_object().zip(schema["properties"].as_object()) else {
        return Ok(());
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !members.contains_key(name.as_str().unwrap()) {
            return Err(format!("{name} is missing"));
        }
    }
    for (name, value) in members {
        let schema = known.get(name).ok_or(format!("{name} is not described"))?;
        fits(document, schema, value).map_err(|what| format!("{name}: {what}"))?;
    }
    Ok(())
}
