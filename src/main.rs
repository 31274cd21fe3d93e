//! Parse, dispatch, exit code: nothing else.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        // Hidden: an engine starts its workers with it.
        [verb, dir] if verb == "step-worker" => towpath::runtime::worker::main(Path::new(dir)),
        _ => ExitCode::from(2),
    }
}
