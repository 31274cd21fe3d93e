//! `towpath plan`: what a promotion would do. Changes nothing.

use serde_json::json;

use super::failure::{Failure, Sort};
use super::{Invocation, deployments, session};
use crate::domain::ids::{EnvironmentName, ReleaseNumber};
use crate::domain::state::State;
use crate::print::preview;

pub(super) async fn plan(
    invocation: &mut Invocation,
    environment: &EnvironmentName,
    release: Option<ReleaseNumber>,
) -> Result<u8, Failure> {
    let client = session::connect(&invocation.layout()?, "plan").await?;
    let (state, _stream) = session::attach(&client).await?;
    let release = match release {
        Some(release) => release,
        None => newest(&state, environment)?,
    };
    let found = deployments::promotion(&client, environment, release).await?;
    let refused = preview::fails(&found.gates);
    let code = if refused { Sort::Refused.code() } else { 0 };
    let place = invocation.place();
    let output = &mut invocation.output;
    if output.json {
        output.json("plan", &json!({ "preview": found, "promotable": !refused, "exit": code }))?;
    } else {
        let lines = preview::promotion(&output.style, &state, &found, &place);
        output.lines(lines)?;
    }
    Ok(code)
}

/// The newest release that may go to an environment and is newer than what is live there: going back to an older one
/// is a rollback, and nobody's default.
fn newest(state: &State, environment: &EnvironmentName) -> Result<ReleaseNumber, Failure> {
    state.environment(environment)?;
    let live = state.live(environment).map(|(_, live)| live.release);
    let newer =
        || state.releases.keys().rev().copied().filter(|number| live.is_none_or(|live| *number > live));
    if let Some(found) = newer().find(|number| state.promotable(environment, *number).is_ok()) {
        return Ok(found);
    }
    match (newer().next(), live) {
        // The gate's own words say why the newest may not.
        (Some(newest), _) => Ok(newest),
        (None, Some(live)) => Err(Failure::new(
            Sort::Refused,
            format!("{live} is live on {environment}, and no release is newer."),
            format!("`towpath plan {environment} --release N` looks at another one."),
        )),
        (None, None) => Err(Failure::usage(
            "There is no release yet.",
            "`towpath run` walks a commit through its checks; what passes them becomes one.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::print::fixtures::Story;

    #[test]
    fn the_newest_that_may_go_there_is_planned_and_never_an_older_one() {
        let mut story = Story::new();
        let newest = |story: &Story, name: &str| newest(&story.state, &name.into());
        assert_eq!(newest(&story, "staging").unwrap(), ReleaseNumber(3));
        // Nothing was proven on staging: the newest is planned, and its gate says why it is refused.
        assert_eq!(newest(&story, "production").unwrap(), ReleaseNumber(3));
        story.goes_live("staging", 2);
        assert_eq!(newest(&story, "production").unwrap(), ReleaseNumber(2));
        story.goes_live("staging", 3);
        let failure = newest(&story, "staging").unwrap_err();
        assert!(failure.to_string().contains("v3 is live on staging, and no release is newer"), "{failure}");
        let failure = newest(&story, "prod").unwrap_err();
        let Failure::Said { sort: Sort::Usage, hint, .. } = failure else { panic!("{failure:?}") };
        assert_eq!(hint, "There are: production, staging.");
    }
}
