//! A disk of a test's own, which it may fill or write-protect.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::server::{GRAY, Server, spikelens};

/// A small disk: a tmpfs that only its own processes see, and that ends with them. It needs no privileges where user
/// namespaces are allowed.
pub struct Disk {
    holder: Child,
    own_user: bool,
    folder: TempDir,
}

impl Disk {
    /// None, and a word about it, where this machine allows no test to mount one.
    pub fn new(size: &str) -> Option<Self> {
        let disk = [true, false]
            .into_iter()
            .find_map(|own_user| Self::held(size, own_user));
        if disk.is_none() {
            println!("skipped: this machine lets tests mount no tmpfs (unshare -rm)");
        }
        disk
    }

    fn held(size: &str, own_user: bool) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = format!("mount -t tmpfs -o size={size} tmpfs \"$0\" && echo mounted && exec cat");
        let mut holder = Command::new("unshare")
            .arg(if own_user { "-rm" } else { "-m" })
            .args(["sh", "-c", &mount])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut said = String::new();
        BufReader::new(holder.stdout.take().unwrap())
            .read_line(&mut said)
            .unwrap();
        let disk = Self {
            holder,
            own_user,
            folder,
        };
        (said == "mounted\n").then_some(disk)
    }

    /// A program, run where the disk is.
    fn within(&self, program: &Command) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &self.holder.id().to_string()]);
        if self.own_user {
            command.args(["-U", "--preserve-credentials"]);
        }
        command.arg(program.get_program()).args(program.get_args());
        for (name, _) in program.get_envs() {
            command.env_remove(name);
        }
        command
    }

    /// The same, run by the owner of what is on the disk, who is not root there.
    pub fn unprivileged(&self, program: &Command) -> Command {
        let mut command = Command::new(if self.own_user { "unshare" } else { "setpriv" });
        command.args(if self.own_user {
            &["--user", "--map-user=65534", "--map-group=65534"][..]
        } else {
            &["--reuid=65534", "--regid=65534", "--clear-groups"]
        });
        command.arg(program.get_program()).args(program.get_args());
        self.within(&command)
    }

    /// Whether those who test own what is on the disk.
    pub fn own_user(&self) -> bool {
        self.own_user
    }

    /// Runs `spikelens check`.
    pub fn check(&self) -> Output {
        let check = spikelens(&["check", "--data-dir", self.data_dir().to_str().unwrap()]);
        self.within(&check).output().unwrap()
    }

    /// Allows writing, or allows it no more.
    pub fn set_read_only(&self, read_only: bool) {
        let mut mount = Command::new("mount");
        mount.args(["-o", if read_only { "remount,ro" } else { "remount,rw" }]);
        mount.arg(self.folder.path());
        assert!(self.within(&mount).status().unwrap().success());
    }

    /// As the program knows it.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn server(&self) -> Server {
        Server::start_by(self.within(&spikelens(&[])), &self.data_dir(), &GRAY).ready()
    }

    /// A path on the disk, as this process reaches it.
    pub fn outside(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        let inside = self.folder.path().strip_prefix("/").unwrap();
        root.join(inside).join(name)
    }

    /// Gives back what [`Disk::fill`] took.
    pub fn empty(&self) {
        std::fs::remove_file(self.outside("filler")).unwrap();
    }

    /// Leaves no byte of it free.
    pub fn fill(&self) {
        let mut filler = File::options()
            .append(true)
            .create(true)
            .open(self.outside("filler"))
            .unwrap();
        for size in [64 << 10, 4096, 1] {
            while filler.write_all(&vec![1; size]).is_ok() {}
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
