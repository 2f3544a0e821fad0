//! The executable: runs [`spikelens::cli::main`].

/// It gives memory back to the system after a burst; glibc's allocator keeps what large bodies took.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    spikelens::cli::main()
}
