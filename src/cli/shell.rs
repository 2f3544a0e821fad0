//! `completions`, `manual` and `health`: for shells, `man` and containers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::files;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  spikelens completions bash > ~/.local/share/bash-completion/completions/spikelens
  spikelens completions zsh > ~/.zfunc/_spikelens
  spikelens completions fish > ~/.config/fish/completions/spikelens.fish")]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the completions of `program`.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn run(self, mut program: Command) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "spikelens", &mut script);
        Ok(std::io::stdout().lock().write_all(&script)?)
    }
}

/// Print the manual page, or write one page per command
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  spikelens manual | man -l -
  spikelens manual --out ~/.local/share/man/man1")]
pub struct Manual {
    /// Write spikelens.1, spikelens-serve.1, ... to this directory
    #[arg(long, value_name = "DIR", env = "SPIKELENS_OUT")]
    out: Option<PathBuf>,
}

impl Manual {
    /// Prints or writes the manual of `program`.
    ///
    /// # Errors
    /// If stdout or a page cannot be written.
    pub fn run(self, program: Command) -> Result<()> {
        let mut whole = program.disable_help_subcommand(true);
        let Some(folder) = self.out else {
            let page = page(whole)?;
            return Ok(std::io::stdout().lock().write_all(&page)?);
        };
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        whole.build();
        files::write_whole(&folder.join("spikelens.1"), &page(whole.clone())?)?;
        for command in whole.get_subcommands() {
            let name = format!("spikelens-{}", command.get_name());
            let command = command.clone().display_name(name.clone());
            files::write_whole(&folder.join(format!("{name}.1")), &page(command)?)?;
        }
        Ok(())
    }
}

fn page(command: Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(page)
}

/// Ask a running server whether it is alive, for health checks
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  spikelens health
  spikelens health --ready --listen 127.0.0.1:9000")]
pub struct Health {
    /// Address of the server
    #[arg(
        long,
        value_name = "ADDR:PORT",
        default_value = "127.0.0.1:8080",
        env = "SPIKELENS_LISTEN"
    )]
    listen: SocketAddr,
    /// Ask whether it is ready to answer searches
    #[arg(long, env = "SPIKELENS_READY")]
    ready: bool,
}

/// Time limit for the connection and for each read.
const PATIENCE: Duration = Duration::from_secs(3);

impl Health {
    /// Runs the command.
    ///
    /// # Errors
    /// If the server does not answer, or answers with another status than 200.
    pub fn run(self) -> Result<()> {
        let mut address = self.listen;
        if address.ip().is_unspecified() {
            // A server that listens on all addresses also listens on loopback.
            address.set_ip(if address.is_ipv4() {
                std::net::Ipv4Addr::LOCALHOST.into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            });
        }
        let path = if self.ready { "/readyz" } else { "/healthz" };
        let answer = ask(address, path).with_context(|| format!("no server answers at {address}"))?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        ensure!(status == "200", "{address}{path} answered {status}: {body}");
        writeln!(std::io::stdout().lock(), "{body}")?;
        Ok(())
    }
}

fn ask(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer)?;
    Ok(answer)
}
