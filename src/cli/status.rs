//! `towpath status`: what the engine does, where open runs are, and what is live where. Starts nothing.

use serde_json::json;

use super::failure::Failure;
use super::{Invocation, session};
use crate::domain::state::RunPhase;
use crate::print::environments::{self, Measured};
use crate::print::table;

pub(super) async fn status(invocation: &mut Invocation) -> Result<u8, Failure> {
    let layout = invocation.layout()?;
    let output = &mut invocation.output;
    let Some(client) = session::connect_running(&layout, "status").await? else {
        if output.json {
            output.json(
                "status",
                &json!({ "engine": null, "runs": null, "release": null, "environments": null }),
            )?;
        } else {
            output.line(
                "no engine runs, so nothing is under way; `towpath history` starts one and lists what was",
            )?;
        }
        return Ok(0);
    };
    let (state, _stream) = session::attach(&client).await?;
    let welcome = client.welcome();
    if output.json {
        let open: Vec<_> = state
            .runs
            .iter()
            .filter(|(_, run)| !matches!(run.phase, RunPhase::Ended(_)))
            .map(|(number, run)| {
                json!({ "run": number, "commit": run.commit, "phase": run.phase, "steps": run.steps })
            })
            .collect();
        let engine = json!({
            "pid": welcome.pid, "since": welcome.since, "version": welcome.version, "busy": state.is_busy(),
        });
        let release = state.releases.values().next_back();
        output.json(
            "status",
            &json!({
                "engine": engine, "runs": open, "release": release, "branch_trouble": state.branch_trouble(),
                "kept": state.kept,
                "environments": environments::objects(&state, &Measured::default()),
            }),
        )?;
    } else {
        let since = output.style.day(welcome.since);
        output.line(&format!("engine {} (towpath {}) since {since}", welcome.pid, welcome.version))?;
        let lines = table::status(&output.style, &state, session::now());
        output.lines(lines)?;
        let lines = environments::brief(&output.style, &state, session::now());
        output.lines(lines)?;
    }
    Ok(0)
}
