//! Events of an application's own in the server's namespaces, with any number of arguments, binary anywhere, and acks of any form.
//!
//! `cargo run --example own_events`: `message` is echoed as `message-back`, and `message-with-ack` in its ack; `silent` is
//! acknowledged without values. What [`PASSED_ON`] names is passed on to everybody, its sender included. The auth payload of a CONNECT
//! comes back as `auth`.

use serde_json::{Value, json};
use switchboard::{
    AckSender, App, Data, EventContext, Result, StartError,
    app::{listen, stop_signal},
    config::Config,
};

mod support {
    pub mod arguments;
}
use support::arguments::Arguments;

/// Events that are passed on: names of every kind that clients can send.
const PASSED_ON: [&str; 9] = [
    "any",
    "5",
    "näme 🦀",
    "quo\"te",
    "back\\slash",
    "separated\u{2028}lines",
    "with blank",
    "new\nline",
    "",
];

async fn connected(context: EventContext, Data(auth): Data<Option<Value>>) -> Result<()> {
    context.emit("auth", &auth.unwrap_or_else(|| json!({})))
}

async fn echo(context: EventContext, Data(arguments): Data<Arguments>) -> Result<()> {
    context.emit("message-back", &arguments)
}

async fn acknowledge(Data(arguments): Data<Arguments>, ack: AckSender) -> Result<()> {
    ack.send(&arguments)
}

async fn silent(ack: AckSender) -> Result<()> {
    ack.send_empty()
}

#[tokio::main]
async fn main() -> Result<(), StartError> {
    let mut builder = App::builder(Config::from_env()?)
        .on_connect(connected)
        .event("message", echo)
        .event("message-with-ack", acknowledge)
        .event("silent", silent);
    for name in PASSED_ON {
        let pass_on = async move |context: EventContext, Data(arguments): Data<Arguments>| {
            context.to_all().emit(name, &arguments).await
        };
        builder = builder.event(name, pass_on);
    }
    let app = builder.build().await?;
    let listener = listen(app.config().listen)?;
    if let Ok(address) = listener.local_addr() {
        println!("http://{address}");
    }
    app.run(listener, stop_signal()).await;
    Ok(())
}
