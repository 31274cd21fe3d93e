//! `towpath engine`: look after the engine itself.

use serde_json::json;

use super::failure::{Failure, Sort};
use super::{Invocation, session};
use crate::engine::serve;
use crate::wire::protocol::Reply;

pub(super) async fn status(invocation: &mut Invocation) -> Result<u8, Failure> {
    let layout = invocation.layout()?;
    let output = &mut invocation.output;
    let client = session::connect_running(&layout, "status").await?;
    match (client, output.json) {
        (None, true) => output.json("engine", &json!({ "running": false, "state": layout.state }))?,
        (None, false) => {
            output.line("no engine runs")?;
            output.line(&format!("state {}", layout.state.display()))?;
        }
        (Some(client), true) => {
            let welcome = client.welcome();
            let body = json!({
                "running": true, "pid": welcome.pid, "since": welcome.since, "version": welcome.version,
                "busy": welcome.busy, "state": layout.state,
            });
            output.json("engine", &body)?;
        }
        (Some(client), false) => {
            let welcome = client.welcome();
            let at_work = if welcome.busy { "at work" } else { "idle" };
            let since = output.style.day(welcome.since);
            output.line(&format!(
                "engine {} (towpath {}) since {since}, {at_work}",
                welcome.pid, welcome.version
            ))?;
            output.line(&format!("state {}", layout.state.display()))?;
        }
    }
    Ok(0)
}

pub(super) async fn stop(invocation: &mut Invocation, force: bool) -> Result<u8, Failure> {
    let layout = invocation.layout()?;
    let output = &mut invocation.output;
    let Some(client) = session::connect_running(&layout, "stop").await? else {
        if output.json {
            output.json("engine", &json!({ "running": false, "stopped": false }))?;
        } else {
            output.line("no engine runs")?;
        }
        return Ok(0);
    };
    let pid = client.welcome().pid;
    match client.shutdown(force).await {
        Ok(Reply::Refused { refusal }) => {
            let hint = if refusal.hint.is_empty() && !force {
                "`towpath engine stop --force` ends it all the same: running steps go on and are found again."
                    .to_owned()
            } else {
                refusal.hint
            };
            return Err(Failure::new(Sort::Refused, refusal.message, hint));
        }
        Ok(Reply::Failed { message }) => return Err(Failure::new(Sort::Unclear, message, "")),
        // An engine that is gone before its answer arrived did what was asked.
        Ok(Reply::Done { .. }) | Err(_) => {}
        Ok(Reply::Answer { .. }) => return Err(Failure::unexpected("a command")),
    }
    drop(client);
    if !session::wait_until_gone(&layout).await {
        return Err(Failure::new(
            Sort::Unclear,
            format!("Engine {pid} said that it ends, and still listens."),
            session::log_tail(&layout),
        ));
    }
    if output.json {
        output.json("engine", &json!({ "running": false, "stopped": true, "pid": pid }))?;
    } else {
        output.line(&format!("engine {pid} has ended"))?;
    }
    Ok(0)
}

/// Runs the engine in this process: until it is told to stop (for a service manager, and for a look at its log),
/// or, as a viewer starts it, in a session of its own until nobody needs it.
pub(super) fn run(invocation: &mut Invocation, detached: bool) -> Result<u8, Failure> {
    let layout = invocation.layout()?;
    if detached {
        // Fails only where this process leads a session already, and then there is nothing to leave.
        let _ = nix::unistd::setsid();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| {
        Failure::new(Sort::Unclear, format!("The runtime cannot be set up: {error}."), "")
    })?;
    let idle = detached.then_some(serve::IDLE);
    runtime
        .block_on(serve::serve(layout, idle))
        .map_err(|error| Failure::new(Sort::Unreachable, format!("The engine cannot run: {error:#}."), ""))?;
    Ok(0)
}
