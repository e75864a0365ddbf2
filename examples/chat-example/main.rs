//! Socket.IO's chat example, for its front end as it is. README.md says how to run both.

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Router,
    routing::{MethodRouter, get},
};
use http::{StatusCode, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchboard::{
    App, Data, Error, EventContext, Result, State,
    app::{listen, stop_signal},
    config::Config,
};
use tokio::sync::Mutex;

/// How many clients have a name. It stays locked until all are told, so that the newest number comes last.
type UserCount = Arc<Mutex<usize>>;

/// The state of a client that has given its name; it is kept with the session.
#[derive(Serialize, Deserialize)]
struct User {
    username: String,
}

async fn connected(context: EventContext, State(count): State<UserCount>) -> Result<()> {
    // A client that has resumed its session has a name already.
    match context.state()? {
        Some(user) => enter(&context, &count, &user).await,
        None => Ok(()),
    }
}

async fn add_user(
    context: EventContext,
    State(count): State<UserCount>,
    Data(username): Data<String>,
) -> Result<()> {
    match context.state::<User>()? {
        Some(_) => Ok(()),
        None => enter(&context, &count, &User { username }).await,
    }
}

async fn enter(context: &EventContext, count: &UserCount, user: &User) -> Result<()> {
    let mut count = count.lock().await;
    context.set_state(user)?;
    *count += 1;
    // On the way that everybody's events take: `context.emit` would overtake what others were told before.
    let client = context.to_self();
    client.emit("login", &json!({ "numUsers": *count })).await?;
    let joined = json!({ "username": user.username, "numUsers": *count });
    context.to_others().emit("user joined", &joined).await
}

async fn new_message(context: EventContext, Data(message): Data<String>) -> Result<()> {
    let said = json!({ "username": user(&context)?.username, "message": message });
    context.to_others().emit("new message", &said).await
}

async fn tell_others(context: EventContext, event: &str) -> Result<()> {
    context.to_others().emit(event, &user(&context)?).await
}

async fn disconnected(context: EventContext, State(count): State<UserCount>) -> Result<()> {
    let Some(User { username }) = context.state()? else {
        return Ok(());
    };
    let mut count = count.lock().await;
    *count -= 1;
    let left = json!({ "username": username, "numUsers": *count });
    context.to_others().emit("user left", &left).await
}

fn user(context: &EventContext) -> Result<User> {
    let user = context.state()?;
    user.ok_or_else(|| Error::bad_request("add a user first"))
}

/// The front end's page, from its folder.
fn page(folder: &Path) -> Router {
    let file = |name, content_type| serve_file(folder.join(name), content_type);
    Router::new()
        .route("/", file("index.html", "text/html"))
        .route("/main.js", file("main.js", "text/javascript"))
        .route("/style.css", file("style.css", "text/css"))
}

fn serve_file(path: PathBuf, content_type: &'static str) -> MethodRouter {
    get(async move || match tokio::fs::read(path).await {
        Ok(file) => Ok(([(CONTENT_TYPE, content_type)], file)),
        Err(_) => Err(StatusCode::NOT_FOUND),
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = env::var_os("PUBLIC").map_or_else(|| "public".into(), PathBuf::from);
    let app = App::builder(Config::from_env()?)
        .state(UserCount::default())
        .on_connect(connected)
        .event("add user", add_user)
        .event("new message", new_message)
        .event("typing", |context| tell_others(context, "typing"))
        .event("stop typing", |context| tell_others(context, "stop typing"))
        .on_disconnect(disconnected)
        .routes(move |_hub, _io| page(&folder))
        .build()
        .await?;
    let listener = listen(app.config().listen)?;
    println!("http://{}", listener.local_addr()?);
    app.run(listener, stop_signal()).await;
    Ok(())
}
