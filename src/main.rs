//! `towpath`: parse, dispatch, exit code; everything else is in the library.

#[cfg(not(target_os = "linux"))]
compile_error!("Towpath runs on Linux alone: it stands on /proc, process groups and peer credentials.");

fn main() -> std::process::ExitCode {
    towpath::cli::main()
}
