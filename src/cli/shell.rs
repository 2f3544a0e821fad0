//! `completions`, `manual`, `health`: what shells, manuals and containers want to know of the program.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::files;

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  spikelens completions bash > ~/.local/share/bash-completion/completions/spikelens
  spikelens completions zsh > ~/.zfunc/_spikelens
  spikelens completions fish > ~/.config/fish/completions/spikelens.fish")]
pub struct Completions {
    /// Which shell's
    shell: Shell,
}

impl Completions {
    /// Prints the completions of `program`.
    pub fn run(self, mut program: Command) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "spikelens", &mut script);
        Ok(std::io::stdout().lock().write_all(&script)?)
    }
}

/// Print the manual page, or write one for every command
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  spikelens manual | man -l -
  spikelens manual --out ~/.local/share/man/man1")]
pub struct Manual {
    /// Write spikelens.1, spikelens-serve.1, ... into this folder
    #[arg(long, value_name = "DIR", env = "SPIKELENS_OUT")]
    out: Option<PathBuf>,
}

impl Manual {
    /// Prints or writes the manual of `program`.
    pub fn run(self, program: Command) -> Result<()> {
        let mut whole = program.disable_help_subcommand(true);
        let Some(folder) = self.out else {
            let page = page(whole)?;
            return Ok(std::io::stdout().lock().write_all(&page)?);
        };
        std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
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

/// Ask a running server whether it is alive, for those who watch it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  spikelens health
  spikelens health --ready --listen 127.0.0.1:9000")]
pub struct Health {
    /// Where the server listens
    #[arg(
        long,
        value_name = "ADDR:PORT",
        default_value = "127.0.0.1:8080",
        env = "SPIKELENS_LISTEN"
    )]
    listen: SocketAddr,
    /// Ask whether it answers searches, too
    #[arg(long, env = "SPIKELENS_READY")]
    ready: bool,
}

/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(3);

impl Health {
    pub fn run(self) -> Result<()> {
        let mut address = self.listen;
        if address.ip().is_unspecified() {
            // Whoever listens everywhere listens here.
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
        ensure!(status == "200", "{address}{path} answers {status}: {body}");
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
