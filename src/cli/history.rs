//! `towpath history`: runs, newest first.

use super::failure::Failure;
use super::{Invocation, session};
use crate::domain::query::{Answer, Query};
use crate::print::table;

pub(super) async fn history(invocation: &mut Invocation, limit: u32) -> Result<u8, Failure> {
    let client = session::connect(&invocation.layout()?, "history").await?;
    let Answer::History { runs } = session::ask(&client, Query::History { limit }).await? else {
        return Err(Failure::unexpected("history"));
    };
    let output = &mut invocation.output;
    if output.json {
        runs.iter().try_for_each(|run| output.json("run", run))?;
    } else if runs.is_empty() {
        output.line("nothing has run yet")?;
    } else {
        let lines = table::history(&output.style, &runs);
        output.lines(lines)?;
    }
    Ok(0)
}
