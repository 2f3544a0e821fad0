//! The executable: runs [`spikelens::cli::main`].

fn main() -> std::process::ExitCode {
    spikelens::cli::main()
}
