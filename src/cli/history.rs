//! `towpath history`: runs and deployments, newest first.

use super::failure::Failure;
use super::{Invocation, session};
use crate::domain::query::{Answer, Query};
use crate::print::table;

pub(super) async fn history(invocation: &mut Invocation, limit: u32) -> Result<u8, Failure> {
    let client = session::connect(&invocation.layout()?, "history").await?;
    let Answer::History { runs } = session::ask(&client, Query::History { limit }).await? else {
        return Err(Failure::unexpected("history"));
    };
    let (state, _stream) = session::attach(&client).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let deployments: Vec<_> = state.deployments.iter().rev().take(limit).collect();
    let output = &mut invocation.output;
    if output.json {
        runs.iter().try_for_each(|run| output.json("run", run))?;
        for (number, deployment) in deployments {
            output.json("deployment", &table::deployment_object(*number, deployment))?;
        }
        return Ok(0);
    }
    if runs.is_empty() && deployments.is_empty() {
        output.line("nothing has run yet")?;
    }
    if !runs.is_empty() {
        let lines = table::history(&output.style, &runs);
        output.lines(lines)?;
    }
    if !deployments.is_empty() {
        if !runs.is_empty() {
            output.line("")?;
        }
        let lines = table::deployments(&output.style, &deployments);
        output.lines(lines)?;
    }
    Ok(0)
}
