//! Events of an application's own in the server's namespaces, with any number of arguments, binary anywhere, and acks of any form.
//!
//! `cargo run --example own_events`: `message` is echoed as `message-back`, and `message-with-ack` in its ack; `silent` is
//! acknowledged without values. What [`PASSED_ON`] names is passed on to everybody, its sender included.

use switchboard::{
    AckSender, App, Data, EventContext, Result,
    app::stop_signal,
    config::{ConfigSources, load},
};

mod support {
    pub mod arguments;
}
use support::arguments::Arguments;

/// Events that are passed on: names of every kind that clients can send.
const PASSED_ON: [&str; 7] = [
    "any",
    "5",
    "näme 🦀",
    "quo\"te",
    "back\\slash",
    "separated\u{2028}lines",
    "with blank",
];

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
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sources = ConfigSources {
        environment: std::env::vars_os().collect(),
        ..ConfigSources::default()
    };
    let mut builder = App::builder(load(&sources)?.config)
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
    let listener = tokio::net::TcpListener::bind(app.config().listen).await?;
    println!("http://{}", listener.local_addr()?);
    app.run(listener, stop_signal()).await;
    Ok(())
}
