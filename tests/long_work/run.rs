//! The command as a process, with a terminal or without one.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

/// The longest wait for a condition.
const DEADLINE: Duration = Duration::from_secs(100);

/// Where standard error goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stderr {
    Pipe,
    /// A terminal that calls itself this.
    Terminal(&'static str),
}

/// A command that runs.
pub struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: Arc<Mutex<String>>,
    reading: JoinHandle<()>,
    started: Instant,
}

/// A command that has ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

/// The command with the log in `folder`; `at_once` has progress shown from the beginning.
pub fn command(folder: &Path, arguments: &[&str], at_once: bool) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command
        .args(arguments)
        .arg("--data")
        .arg(folder)
        .current_dir(folder)
        .env_clear();
    if at_once {
        command.env("SWITCHBOARD_TEST_PROGRESS_AFTER_MS", "0");
    }
    command
}

/// Runs the command to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Ended {
    Running::start(&mut command(folder, arguments, true), Stderr::Pipe).end()
}

impl Running {
    pub fn start(command: &mut Command, stderr: Stderr) -> Self {
        let (reader, writer): (Box<dyn Read + Send>, Stdio) = match stderr {
            Stderr::Pipe => {
                let (reader, writer) = std::io::pipe().unwrap();
                (Box::new(reader), writer.into())
            }
            Stderr::Terminal(name) => {
                let (screen, terminal) = open_terminal();
                command.env("TERM", name);
                (Box::new(File::from(screen)), terminal.into())
            }
        };
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(writer)
            .spawn()
            .unwrap();
        // The writing end is the child's alone, so that reading ends with it.
        command.stderr(Stdio::null());
        let text = Arc::new(Mutex::new(String::new()));
        let written = text.clone();
        Self {
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
            stderr: text,
            reading: thread::spawn(move || collect(reader, &written)),
            started,
        }
    }

    /// The next line of its standard output; empty once that has ended.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sends a signal that it finds at this moment, however fast it is.
    pub fn signal_now(&self, signal: Signal) {
        self.signal(Signal::STOP);
        self.signal(signal);
        self.signal(Signal::CONT);
    }

    /// Waits until a condition holds, which has to be before it ends.
    pub fn wait_until(&mut self, what: &str, condition: impl Fn() -> bool) {
        while !condition() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended before {what}: {}", self.said());
            assert!(self.started.elapsed() < DEADLINE, "{what}: {}", self.said());
            thread::yield_now();
        }
    }

    fn said(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Kills it, and returns whether it was still running.
    pub fn kill(mut self) -> bool {
        self.child.kill().unwrap();
        self.child.wait().unwrap().signal().is_some()
    }

    /// Waits until it has ended.
    pub fn end(mut self) -> Ended {
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).unwrap();
        let code = self.child.wait().unwrap().code();
        let took = self.started.elapsed();
        self.reading.join().unwrap();
        let stderr = self.stderr.lock().unwrap().clone();
        Ended {
            code,
            stdout,
            stderr,
            took,
        }
    }
}

/// A terminal with 120 columns: what is seen on its screen, and what a program writes to.
fn open_terminal() -> (OwnedFd, OwnedFd) {
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let size = Winsize {
        ws_row: 40,
        ws_col: 120,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&screen, size).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap();
    let terminal = File::options()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap());
    (screen, terminal.unwrap().into())
}

fn collect(mut from: impl Read, to: &Mutex<String>) {
    let mut buffer = [0; 4096];
    // A terminal that nobody writes to any more ends with an error.
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]);
        to.lock().unwrap().push_str(&text);
    }
}

/// What is on the screen of a terminal after this was written to it, without colors.
pub fn screen(written: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut column = 0;
    let mut rest = written.chars();
    while let Some(c) = rest.next() {
        let line = lines.last_mut().unwrap();
        match c {
            '\r' => column = 0,
            '\n' => lines.push(String::new()),
            '\x1b' => {
                let end = rest.by_ref().find(char::is_ascii_alphabetic);
                if end == Some('K') {
                    line.truncate(column);
                }
            }
            c => {
                line.truncate(column);
                line.push(c);
                column = line.len();
            }
        }
    }
    lines
}
