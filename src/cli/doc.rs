//! `switchboard doc`: writes a document of a running server to a file, and adds a file to a document.

use std::{
    fmt,
    fs::{self, File},
    io::{self, IsTerminal, Read, Write},
    path::PathBuf,
    process::ExitCode,
};

use reqwest::Url;

use super::{fail, reject};
use crate::{
    config::Config,
    documents::split_update,
    model::RoomName,
    progress::{bytes, count},
};

mod server;

use server::{DocumentServer, parse_url};

/// The options that say where the server is, what it lets in, and how large an update it takes.
pub(super) const OPTIONS: [&str; 5] = [
    "listen",
    "http.prefix",
    "auth.api_keys",
    "auth.admin_key",
    "documents.update_bytes",
];

/// What stands for standard input and output.
const STANDARD: &str = "-";

/// What to do with documents.
#[derive(clap::Args)]
pub(super) struct DocArguments {
    #[command(subcommand)]
    command: DocCommand,
}

#[derive(clap::Subcommand)]
enum DocCommand {
    /// Write a document to a file: one update of Yjs (version 1), as Y.encodeStateAsUpdate makes it.
    Export(ExportArguments),
    /// Add a file to a document: one update of Yjs (version 1).
    ///
    /// Nothing that the document has is lost, and importing a file again changes nothing. Clients that have the document open get what
    /// is new. A document that does not exist is created.
    Import(ImportArguments),
}

#[derive(clap::Args)]
struct ExportArguments {
    /// Name of the document
    #[arg(value_parser = parse_document)]
    name: RoomName,
    /// File to write; - for standard output
    #[arg(long, value_name = "FILE", default_value = STANDARD)]
    out: PathBuf,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(clap::Args)]
struct ImportArguments {
    /// Name of the document
    #[arg(value_parser = parse_document)]
    name: RoomName,
    /// File to read; - for standard input
    file: PathBuf,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(clap::Args)]
struct ServerArguments {
    /// Address of the server with its http.prefix; by default what the configuration says
    #[arg(long, value_parser = parse_url)]
    url: Option<Url>,
}

/// A file, or standard input or output.
struct Place<'a>(&'a PathBuf, &'static str);

/// Exports or imports a document.
pub(super) fn run(arguments: &DocArguments, config: &Config) -> ExitCode {
    let server = match &arguments.command {
        DocCommand::Export(export) => &export.server,
        DocCommand::Import(import) => &import.server,
    };
    let server = match DocumentServer::new(server.url.as_ref(), config) {
        Ok(server) => server,
        Err(reason) => return reject(&reason),
    };
    match &arguments.command {
        DocCommand::Export(arguments) => export(arguments, &server),
        DocCommand::Import(arguments) => {
            let max = config.documents.update_bytes.bytes();
            import(arguments, &server, max)
        }
    }
}

fn export(arguments: &ExportArguments, server: &DocumentServer) -> ExitCode {
    let ExportArguments { name, out, .. } = arguments;
    let place = Place(out, "standard output");
    if place.is_standard() && io::stdout().is_terminal() {
        return reject(&"a document is bytes, which a terminal cannot show: use --out FILE");
    }
    let document = match server.read(name) {
        Ok(document) => document,
        Err(error) => return fail(&error),
    };
    if let Err(error) = place.write(&document) {
        return fail(&format_args!("{place} cannot be written: {error}"));
    }
    let size = bytes(document.len() as u64);
    match place.is_standard() {
        true => ExitCode::SUCCESS,
        false => print(&format!("{name}: {size} written to {place}\n")),
    }
}

fn import(arguments: &ImportArguments, server: &DocumentServer, max_bytes: usize) -> ExitCode {
    let ImportArguments { name, file, .. } = arguments;
    let place = Place(file, "standard input");
    let update = match place.read() {
        Ok(update) => update,
        Err(error) => return fail(&format_args!("{place} cannot be read: {error}")),
    };
    let parts = match split_update(&update, max_bytes) {
        Ok(parts) => parts,
        Err(reason) => {
            return fail(&format_args!(
                "{place} is no update of Yjs: {reason}; expected what `switchboard doc export` writes, or Y.encodeStateAsUpdate returns"
            ));
        }
    };
    let total = parts.len();
    for (nth, part) in (1..).zip(parts) {
        if let Err(error) = server.update(name, part) {
            let so_far = match nth {
                1 => String::new(),
                _ => format!(
                    " (in part {nth} of {total}; what is before it is stored, and importing the file again does no harm)"
                ),
            };
            return fail(&format_args!("{error}{so_far}"));
        }
    }
    let size = bytes(update.len() as u64);
    let what = match total {
        0 => "nothing, the file is an empty document".to_owned(),
        1 => size,
        _ => format!("{size} in {} parts", count(total as u64)),
    };
    print(&format!("{name}: imported {what}\n"))
}

fn parse_document(text: &str) -> Result<RoomName, String> {
    RoomName::parse(text).map_err(|error| error.message().to_owned())
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

impl Place<'_> {
    fn is_standard(&self) -> bool {
        self.0.as_os_str() == STANDARD
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.is_standard() {
            true => io::stdin().read_to_end(&mut bytes)?,
            false => File::open(self.0)?.read_to_end(&mut bytes)?,
        };
        Ok(bytes)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self.is_standard() {
            true => {
                let mut output = io::stdout().lock();
                output.write_all(bytes)?;
                output.flush()
            }
            false => fs::write(self.0, bytes),
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_standard() {
            true => f.write_str(self.1),
            false => self.0.display().fmt(f),
        }
    }
}
