//! Processes that a benchmark starts, measures and kills; CPU time and memory are read from `/proc`.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, Failure>;

/// Fails if this process and its children may not open so many files.
pub fn check_open_files(needed: usize) -> Result<()> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let soft = field(&limits, "Max open files")?;
    if soft.parse().is_ok_and(|soft: usize| soft < needed) {
        return Err(format!("{soft} open files are too few: `ulimit -n {needed}` first").into());
    }
    Ok(())
}

/// The value beside `name` in one of the tables of `/proc`.
fn field<'a>(table: &'a str, name: &str) -> Result<&'a str> {
    let line = table.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim_start_matches(':').split_whitespace().next())
        .ok_or_else(|| format!("no {name} in /proc").into())
}

/// What a process has printed.
#[derive(Default)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
}

/// A process, killed when this is dropped.
pub struct Process(Child);

impl Process {
    pub fn start(command: &mut Command) -> Result<Self> {
        Ok(Self(command.spawn()?))
    }

    /// Runs a command to its end, and returns what it has printed.
    pub fn output(command: &mut Command) -> Result<Output> {
        let mut process = Self::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
        let mut output = Output::default();
        // What goes to standard error fits into the pipe until it is read.
        if let Some(mut stdout) = process.0.stdout.take() {
            stdout.read_to_string(&mut output.stdout)?;
        }
        if let Some(mut stderr) = process.0.stderr.take() {
            stderr.read_to_string(&mut output.stderr)?;
        }
        process.0.wait()?;
        Ok(output)
    }

    /// CPU time so far, in user space and in the kernel; Linux counts it in hundredths of a second.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = self.read("stat")?;
        // The command's name may have blanks; utime and stime are the 12th and 13th field behind it.
        let (_, fields) = stat.rsplit_once(')').ok_or("malformed stat")?;
        let mut ticks = 0;
        for field in fields.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<u64>()?;
        }
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Resident memory in kB.
    fn resident(&self) -> Result<f64> {
        Ok(field(&self.read("status")?, "VmRSS")?.parse()?)
    }

    fn read(&self, file: &str) -> Result<String> {
        Ok(fs::read_to_string(format!("/proc/{}/{file}", self.0.id()))?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Options of a server that is given thousands of connections at once: as many as there are open files for, so that it does not warn.
pub const MANY_CONNECTIONS: &[&str] = &[
    "--limits-user-joins-per-second",
    "0",
    "--limits-connects-per-second",
    "0",
    "--limits-connections",
    "11000",
    "--limits-idle-connections",
    "1000",
    "--poll-waiters",
    "100",
];

/// A server on a free port.
pub struct Server {
    process: Process,
    pub address: String,
    /// Kept open: the server fails if it cannot print.
    _output: BufReader<ChildStdout>,
    _folder: TempDir,
}

impl Server {
    /// Switchboard, without rates; `SWITCHBOARD_BIN` names another binary to measure.
    pub fn start(options: &[&str]) -> Result<Self> {
        let program = env::var_os("SWITCHBOARD_BIN")
            .unwrap_or_else(|| env!("CARGO_BIN_EXE_switchboard").into());
        let mut command = Command::new(program);
        command
            .args(["--listen", "127.0.0.1:0", "--limits-inbox", "8192"])
            .args(["--limits-messages-per-second", "0"])
            .args(["--limits-user-messages-per-second", "0"])
            .args(["--limits-joins-per-second", "0"])
            .args(["--limits-connections-per-user", "0"])
            .args(["--log-filter", "warn"])
            .args(options);
        Self::run(&mut command)
    }

    /// Starts a server that prints its address first.
    pub fn run(command: &mut Command) -> Result<Self> {
        let folder = TempDir::new()?;
        command.current_dir(folder.path()).stdout(Stdio::piped());
        let mut process = Process::start(command)?;
        let output = process.0.stdout.take().ok_or("no standard output")?;
        let (mut output, mut line) = (BufReader::new(output), String::new());
        output.read_line(&mut line)?;
        let (_, address) = line
            .split_once("http://")
            .ok_or("the server prints no address")?;
        Ok(Self {
            process,
            address: address.trim().to_owned(),
            _output: output,
            _folder: folder,
        })
    }

    /// CPU time so far.
    pub fn cpu(&self) -> Result<Duration> {
        self.process.cpu()
    }

    /// Resident memory in kB.
    pub fn resident(&self) -> Result<f64> {
        self.process.resident()
    }
}
