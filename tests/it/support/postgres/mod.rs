//! PostgreSQL with pgvector as tests need it: a database of a test's own on one shared server ([`database`]), and servers of
//! a test's own that may be stopped, killed, filled or replaced by a standby ([`Postgres`]). It knows nothing of Spikelens.

mod program;
mod tests;

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use program::{Folder, program, ran, unprivileged};
use rustix::process::{Pid, Signal, kill_process};

use crate::disk::Disk;

/// Of the shared server: it loses data in a crash, and nothing crashes it.
const FAST: [&str; 6] = [
    "fsync=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_connections=300",
    "shared_buffers=64MB",
];

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// An empty database of one test, with the extension `vector`, on a server that all tests of the process share. It is dropped
/// with the value.
pub fn database() -> Database {
    let mut database = shared().database();
    database.on_shared = true;
    database
}

fn shared() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(|| Postgres::created(None, &FAST))
}

/// A server; all clones are the same one. It ends, and its files go, with the last clone or the process.
#[derive(Clone)]
pub struct Postgres {
    cluster: Arc<Cluster>,
}

/// The files of a server, and its process while it runs.
struct Cluster {
    data: PathBuf,
    port: u16,
    settings: Vec<String>,
    postmaster: Mutex<Option<Child>>,
    /// Holds the log, the socket and, without a disk, the data.
    folder: Folder,
    disk: Option<Disk>,
}

impl Postgres {
    /// Starts a server with settings such as `max_connections=20`; it syncs what it commits.
    pub fn start(settings: &[&str]) -> Self {
        let server = Self::without_data(None, settings);
        let mut copy = Command::new("cp");
        copy.arg("-R")
            .arg(&template().cluster.data)
            .arg(&server.cluster.data);
        ran(&mut server.cluster.by_owner(copy));
        server.restart();
        server
    }

    /// The same on a disk of its own, of which the server takes 30 MB at first.
    pub fn start_on(disk: Disk, settings: &[&str]) -> Self {
        Self::created(Some(disk), settings)
    }

    /// Makes and starts a server with the role, and with `vector` in the template of its databases.
    fn created(disk: Option<Disk>, settings: &[&str]) -> Self {
        let server = Self::without_data(disk, settings);
        let mut initdb = program("initdb");
        initdb.args(["-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]);
        initdb.args([
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--wal-segsize=1",
        ]);
        initdb.arg("-D").arg(&server.cluster.data);
        ran(&mut server.cluster.by_owner(initdb));
        server.restart();
        let role = format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'");
        server.psql("postgres", &role);
        server.psql("template1", "CREATE EXTENSION vector");
        server
    }

    fn without_data(disk: Option<Disk>, settings: &[impl ToString]) -> Self {
        let folder = Folder::new(disk.as_ref().is_none_or(|disk| !disk.own_user()));
        let data = match &disk {
            Some(disk) => disk.data_dir(),
            None => folder.path().join("data"),
        };
        let cluster = Cluster {
            data,
            port: free_port(),
            settings: settings.iter().map(ToString::to_string).collect(),
            postmaster: Mutex::new(None),
            folder,
            disk,
        };
        Self {
            cluster: Arc::new(cluster),
        }
    }

    /// Starts it again, on the same port, and waits until it answers.
    pub fn restart(&self) {
        let mut postmaster = self.cluster.postmaster.lock().unwrap();
        assert!(postmaster.is_none(), "it runs already");
        let start = Instant::now();
        // After a kill, a start fails until the last process of the one before is gone.
        while postmaster.is_none() {
            *postmaster = self.cluster.started();
            assert!(start.elapsed() < PATIENCE, "{}", self.log());
        }
    }

    /// Ends it as an administrator would: connections are cut, nothing is lost, the next start needs no recovery.
    pub fn stop(&self) {
        self.cluster.end(Signal::INT);
    }

    /// Ends it at once; the next start recovers.
    pub fn immediate(&self) {
        self.cluster.end(Signal::QUIT);
    }

    /// `kill -9` of its first process; the others notice and end.
    pub fn kill(&self) {
        self.cluster.end(Signal::KILL);
    }

    /// Where it listens, running or not.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.cluster.port).into()
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.cluster.folder.path().join("log")).unwrap_or_default()
    }

    /// The disk that it was started on.
    pub fn disk(&self) -> &Disk {
        self.cluster
            .disk
            .as_ref()
            .expect("a server with a disk of its own")
    }

    /// An empty database with the extension `vector`. Its owner is no superuser.
    pub fn database(&self) -> Database {
        self.database_from("template1")
    }

    /// An empty database without the extension, which its owner may not create.
    pub fn database_without_vector(&self) -> Database {
        self.database_from("template0")
    }

    fn database_from(&self, template: &str) -> Database {
        static CREATED: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test_{}", CREATED.fetch_add(1, Ordering::Relaxed));
        self.psql(
            "postgres",
            &format!("CREATE DATABASE {name} OWNER {ROLE} TEMPLATE {template}"),
        );
        Database {
            server: self.clone(),
            name,
            on_shared: false,
        }
    }

    /// What a statement of a superuser answers: rows as lines, columns parted by `|`.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql)
            .unwrap_or_else(|said| panic!("{sql}: {said}\n{}", self.log()))
    }

    /// The same, or what psql said against it.
    pub fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let socket = self.cluster.folder.path().display();
        let port = self.cluster.port;
        psql(
            &format!("host={socket} port={port} user=postgres dbname={database} connect_timeout=10"),
            sql,
        )
    }

    /// Has psql run a file as a superuser, as the entrypoint of PostgreSQL's image does.
    pub fn run_file(&self, database: &str, file: &Path) {
        let socket = self.cluster.folder.path().display();
        let to = format!(
            "host={socket} port={} user=postgres dbname={database}",
            self.cluster.port
        );
        let mut psql = program("psql");
        ran(psql
            .args(["-X", "-v", "ON_ERROR_STOP=1", "-d", &to, "-f"])
            .arg(file));
    }

    /// A standby on a port of its own, by streaming replication. From now on a commit waits until the standby has it on its
    /// disk, for as long as that takes.
    pub fn standby(&self) -> Self {
        let primary = &self.cluster;
        let standby = Self::without_data(None, &primary.settings);
        let from = format!(
            "host={} port={} user=postgres application_name=standby",
            primary.folder.path().display(),
            primary.port
        );
        let mut backup = program("pg_basebackup");
        backup.args([
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--wal-method=stream",
        ]);
        backup
            .args(["--dbname", &from, "--pgdata"])
            .arg(&standby.cluster.data);
        ran(&mut standby.cluster.by_owner(backup));
        standby.restart();
        self.psql(
            "postgres",
            "ALTER SYSTEM SET synchronous_standby_names = 'standby'",
        );
        self.psql("postgres", "SELECT pg_reload_conf()");
        let start = Instant::now();
        while self.psql("postgres", "SELECT sync_state FROM pg_stat_replication") != "sync" {
            assert!(start.elapsed() < PATIENCE, "{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        standby
    }

    /// Makes a standby a primary, and waits until it takes writes.
    pub fn promote(&self) {
        assert_eq!(self.psql("postgres", "SELECT pg_promote()"), "t");
    }
}

impl Cluster {
    /// A command of the user who owns the data, where the data is.
    fn by_owner(&self, command: Command) -> Command {
        match &self.disk {
            Some(disk) => disk.unprivileged(&command),
            None => unprivileged(command),
        }
    }

    /// A running server that answers; `None` if it ended before it did.
    fn started(&self) -> Option<Child> {
        let folder = self.folder.path();
        // The keeper's file is written before PostgreSQL runs, so that no moment is without it.
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "echo $$ >\"$0\" && exec \"$@\""])
            .arg(folder.join("pid"));
        shell.arg(program("postgres").get_program());
        shell
            .arg("-D")
            .arg(&self.data)
            .args(["-p", &self.port.to_string()]);
        shell
            .arg("-k")
            .arg(folder)
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "dynamic_shared_memory_type=mmap"]);
        for setting in &self.settings {
            shell.args(["-c", setting]);
        }
        let log = File::options()
            .append(true)
            .create(true)
            .open(folder.join("log"))
            .unwrap();
        let mut child = self
            .by_owner(shell)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        while !self.answers(&child) {
            if child.try_wait().unwrap().is_some() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(child)
    }

    /// Whether the file that PostgreSQL keeps in its data says that this process takes connections.
    fn answers(&self, postmaster: &Child) -> bool {
        let file = match &self.disk {
            Some(disk) => disk.outside("data/postmaster.pid"),
            None => self.data.join("postmaster.pid"),
        };
        let said = std::fs::read_to_string(file).unwrap_or_default();
        let mut lines = said.lines();
        lines.next() == Some(&postmaster.id().to_string())
            && lines.nth(6).is_some_and(|state| state.trim() == "ready")
    }

    fn end(&self, signal: Signal) {
        let ended = self.postmaster.lock().unwrap().take();
        let mut postmaster = ended.expect("it does not run");
        kill_process(Pid::from_child(&postmaster), signal).unwrap();
        let start = Instant::now();
        while postmaster.try_wait().unwrap().is_none() {
            if start.elapsed() > PATIENCE {
                postmaster.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // Another process may get its number.
        let _ = std::fs::remove_file(self.folder.path().join("pid"));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.postmaster.get_mut().is_ok_and(|running| running.is_some()) {
            self.end(Signal::QUIT);
        }
    }
}

/// A database of one test.
pub struct Database {
    server: Postgres,
    name: String,
    on_shared: bool,
}

/// The owner of every database.
const ROLE: &str = "shop";
const PASSWORD: &str = "only-for-tests";

impl Database {
    /// As its owner reaches it.
    pub fn url(&self) -> String {
        self.url_at(self.server.address())
    }

    /// As its owner reaches it by way of another address, such as a proxy's.
    pub fn url_at(&self, address: SocketAddr) -> String {
        format!("postgres://{ROLE}:{PASSWORD}@{address}/{}", self.name)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its server listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What a statement of a superuser answers, as [`Postgres::psql`] does.
    pub fn psql(&self, sql: &str) -> String {
        self.server.psql(&self.name, sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Other servers go as a whole, and may not answer.
        if self.on_shared {
            let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
            let _ = self.server.try_psql("postgres", &drop);
        }
    }
}

/// What psql answers to a statement; `to` is a URL or a connection string.
pub fn psql(to: &str, sql: &str) -> Result<String, String> {
    let mut psql = program("psql");
    psql.args([
        "-X",
        "-q",
        "-A",
        "-t",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        to,
        "-c",
        sql,
    ]);
    let output = psql.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

/// A stopped server, whose data others start with: that is twice as fast as making it.
fn template() -> &'static Postgres {
    static TEMPLATE: OnceLock<Postgres> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let template = Postgres::created(None, &FAST);
        template.stop();
        template
    })
}

/// A port below those that systems give to others, so that it is still free when its server starts again.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 16_000).unwrap();
    loop {
        let port = 16_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 16_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
