//! The program: hands over to [`spikelens::cli`] and leaves with its exit code.

fn main() -> std::process::ExitCode {
    spikelens::cli::main()
}
