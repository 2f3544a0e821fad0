//! The command line: subcommands, help with examples, files, progress, exit codes.
//!
//! Results go to stdout, progress and logs to stderr. Exit codes: 0 for success, 1 for an error (one sentence on stderr), 2
//! for wrong usage.
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "help texts write array shapes, like [c,h,w]"
)]

#[cfg(feature = "lab")]
mod adapt;
mod copy;
mod duplicates;
mod embed;
mod files;
mod import;
mod inspect;
mod network;
mod progress;
mod runtime;
mod search;
mod serve;
mod shell;
mod store;
mod upkeep;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Visual search by spikes: a spiking network on an emulated Intel Loihi chip makes the embeddings.
#[derive(Debug, Parser)]
#[command(name = "spikelens", version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "Examples:
  spikelens import dataset/fashion-mnist --data-dir data
  spikelens serve --data-dir data
  spikelens search shoe.png --data-dir data --k 5")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[cfg(feature = "lab")]
    #[command(flatten)]
    Lab(lab::commands::Command),
    #[cfg(feature = "lab")]
    Adapt(adapt::Adapt),
    Inspect(inspect::Inspect),
    Embed(embed::Embed),
    Bench(embed::Bench),
    Import(import::Import),
    Search(search::Search),
    Serve(serve::Serve),
    Check(upkeep::Check),
    Backup(upkeep::Backup),
    Copy(copy::Copy),
    Duplicates(duplicates::Duplicates),
    Health(shell::Health),
    Completions(shell::Completions),
    Manual(shell::Manual),
}

/// Commands that only a build with the laboratory has.
#[cfg(not(feature = "lab"))]
const LABORATORY: [&str; 5] = ["train", "tune", "convert", "evaluate", "adapt"];

/// Parses the arguments, runs the command, and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    #[cfg(not(feature = "lab"))]
    if let Some(command) = std::env::args()
        .nth(1)
        .filter(|name| LABORATORY.contains(&name.as_str()))
    {
        eprintln!(
            "spikelens: `{command}` is not in this build, which has only what serving needs; for the full program: cargo build --release"
        );
        return ExitCode::FAILURE;
    }
    let cli = Cli::parse();
    let result = match cli.command {
        #[cfg(feature = "lab")]
        Command::Lab(lab) => lab.run(),
        #[cfg(feature = "lab")]
        Command::Adapt(adapt) => adapt.run(),
        Command::Inspect(inspect) => inspect.run(),
        Command::Embed(embed) => embed.run(),
        Command::Bench(bench) => bench.run(),
        Command::Import(import) => import.run(),
        Command::Search(search) => search.run(),
        Command::Serve(serve) => serve.run(),
        Command::Check(check) => check.run(),
        Command::Backup(backup) => backup.run(),
        Command::Copy(copy) => copy.run(),
        Command::Duplicates(duplicates) => duplicates.run(),
        Command::Health(health) => health.run(),
        Command::Completions(completions) => completions.run(Cli::command()),
        Command::Manual(manual) => manual.run(Cli::command()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output closed it, as in `spikelens embed ... | head`: not an error.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spikelens: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_has_its_variable() {
        for command in Cli::command().get_subcommands() {
            for option in command.get_arguments().filter(|option| !option.is_positional()) {
                let long = option.get_long().expect("options have long names");
                if ["help", "version"].contains(&long) {
                    continue;
                }
                let variable = format!("SPIKELENS_{}", long.to_uppercase().replace('-', "_"));
                let found = option.get_env().and_then(|name| name.to_str());
                assert_eq!(found, Some(variable.as_str()), "{} --{long}", command.get_name());
            }
        }
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string);
            let example = format!("spikelens {}", command.get_name());
            assert!(help.is_some_and(|help| help.contains(&example)), "{example}");
        }
    }
}
