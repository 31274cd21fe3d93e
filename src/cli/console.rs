//! `towpath` alone: the console.

use std::io::IsTerminal as _;

use super::failure::{Failure, Sort};
use super::output::note;
use super::{Invocation, in_runtime, session};
use crate::tui::app;

pub(super) fn open(invocation: &mut Invocation) -> Result<u8, Failure> {
    if invocation.output.json {
        return Err(Failure::usage(
            "The console has no JSON.",
            "`towpath status --json` says where things are; `towpath run --json` says what happens.",
        ));
    }
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "The console needs a terminal, and here is none.",
            "`towpath run` walks a commit through its checks without one; `towpath --help` lists the rest.",
        ));
    }
    let layout = invocation.layout()?;
    let name = layout.repository.join(&layout.root);
    let options = app::Options {
        ascii: invocation.output.style.ascii,
        no_color: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
        project: name.clone(),
        name: name.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    let connect = move || {
        let layout = layout.clone();
        async move { session::connect(&layout, "console").await.map_err(|failure| anyhow::anyhow!("{failure}")) }
    };
    let ended = in_runtime(async { Ok(app::run(options, connect).await) })?;
    match ended {
        Ok(app::Exit { open_run: Some(run), .. }) => {
            note(&format!("run {run} goes on without you; `towpath{}` shows it again.", invocation.place()));
            // Whoever looks at the exit code must not take a run that goes on for one that has passed.
            Ok(Sort::Left.code())
        }
        Ok(_) => Ok(0),
        Err(error) => Err(Failure::new(Sort::Unclear, format!("{error:#}"), "")),
    }
}
