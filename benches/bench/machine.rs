//! Describes the machine and the state of the sources, and pins measurements to one CPU.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use engine::emulator::kernel::Kernel;
use serde::Serialize;

/// Instruction sets that the kernels or the float network's runtime make use of.
const FLAGS: [&str; 13] = [
    "avx2",
    "fma",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_vbmi2",
    "avx512_vpopcntdq",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "asimd",
    "asimddp",
    "sve",
];

#[derive(Debug, Serialize)]
pub struct Machine {
    pub date: String,
    pub commit: String,
    /// Whether the sources differ from the commit.
    pub dirty: bool,
    pub command: String,
    pub cpu: String,
    pub flags: Vec<String>,
    pub cpus: usize,
    pub memory_gib: f64,
    /// Of the last 1, 5 and 15 minutes, at the start.
    pub load: String,
    pub kernel: String,
    pub rustc: String,
    pub kernels: Vec<String>,
}

impl Machine {
    pub fn look() -> Result<Self> {
        let info = read("/proc/cpuinfo")?;
        let field = |names: &[&str]| {
            let lines = info.lines().filter_map(|line| line.split_once(':'));
            lines
                .filter(|(name, _)| names.contains(&name.trim()))
                .map(|(_, value)| value.trim().to_owned())
                .next()
        };
        let flags = field(&["flags", "Features"]).unwrap_or_default();
        let flags: Vec<&str> = flags.split(' ').collect();
        let memory = read("/proc/meminfo")?;
        let memory_kib = number(&memory, "MemTotal:").context("/proc/meminfo names no MemTotal")?;
        // Records are not sources: uncommitted ones do not count as changes.
        let changes = said("git", &["status", "--porcelain", "--", ".", ":!benches/record"])?;
        let load = read("/proc/loadavg")?;
        let arguments: Vec<String> = std::env::args()
            .skip(1)
            .filter(|word| word != "--bench")
            .collect();
        let command = format!("cargo bench --bench bench -- {}", arguments.join(" "));
        Ok(Self {
            date: said("date", &["-u", "+%Y-%m-%dT%H:%MZ"])?,
            commit: said("git", &["rev-parse", "--short", "HEAD"])?,
            dirty: !changes.is_empty(),
            command: command.trim_end_matches([' ', '-']).to_owned(),
            cpu: field(&["model name", "CPU part"]).unwrap_or_else(|| "unnamed".to_owned()),
            flags: FLAGS
                .iter()
                .filter(|flag| flags.contains(flag))
                .map(|flag| (*flag).to_owned())
                .collect(),
            cpus: cpus()?,
            memory_gib: memory_kib / f64::from(1 << 20),
            load: load.split(' ').take(3).collect::<Vec<_>>().join(" "),
            kernel: said("uname", &["-sr"])?,
            rustc: said("rustc", &["--version"])?,
            kernels: Kernel::available().into_iter().map(name).collect(),
        })
    }

    /// The load of the last minute.
    pub fn load_now(&self) -> f64 {
        let first = self.load.split(' ').next().unwrap_or_default();
        first.parse().unwrap_or(f64::NAN)
    }
}

/// A kernel's name in tables.
pub fn name(kernel: Kernel) -> String {
    kernel.name().to_owned()
}

pub fn cpus() -> Result<usize> {
    Ok(std::thread::available_parallelism()?.get())
}

pub fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// The number after `name` in a table of /proc.
pub fn number(table: &str, name: &str) -> Option<f64> {
    let line = table.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The standard output of a command.
pub fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .with_context(|| format!("{program} cannot be run"))?;
    if !output.status.success() {
        bail!(
            "{program} {} failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs `work` on a thread that is pinned to the last CPU, because the first ones serve most interrupts. Its child
/// processes are pinned too.
pub fn on_one_cpu<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<(T, usize)> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let cpu = pin()?;
            Ok((work()?, cpu))
        });
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn pin() -> Result<usize> {
    let list = allowed()?;
    let cpu = list.rsplit([',', '-']).next().unwrap_or(&list).to_owned();
    let thread = std::fs::read_link("/proc/thread-self")?;
    let thread = thread
        .file_name()
        .context("a thread has a number")?
        .to_string_lossy();
    said("taskset", &["-cp", &cpu, &thread])
        .context("taskset (Debian: util-linux) keeps what is compared on one CPU")?;
    let now = allowed()?;
    ensure!(now == cpu, "the thread is to stay on CPU {cpu}, it may use {now}");
    Ok(cpu.parse()?)
}

/// The first CPU that this thread may use.
pub fn first_cpu() -> Result<usize> {
    let list = allowed()?;
    let first = list.split([',', '-']).next().unwrap_or(&list);
    Ok(first.parse()?)
}

/// The list of CPUs that this thread may use.
fn allowed() -> Result<String> {
    let status = read("/proc/thread-self/status")?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let list = list.context("/proc/thread-self/status names no CPUs")?;
    Ok(list.trim().to_owned())
}
