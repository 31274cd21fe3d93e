//! `towpath redeploy`: the live release once more, after a change of its configuration or a secret.

use super::arguments::Word;
use super::failure::{Failure, Sort};
use super::promote::{self, Wanted};
use super::{Invocation, session};
use crate::domain::ids::EnvironmentName;

pub(super) async fn redeploy(
    invocation: &mut Invocation,
    environment: EnvironmentName,
    word: Word,
    detach: bool,
) -> Result<u8, Failure> {
    let layout = invocation.layout()?;
    let client = session::connect(&layout, "redeploy").await?;
    let (state, _stream) = session::attach(&client).await?;
    state.environment(&environment)?;
    let Some((_, live)) = state.live(&environment) else {
        return Err(Failure::new(
            Sort::Refused,
            format!("Nothing is live on {environment} by the record."),
            format!("`towpath promote {environment} --release N` makes a release live."),
        ));
    };
    let wanted = Wanted { environment, release: live.release, plan: None, detach };
    promote::carry_out(invocation, (&layout, client), &state, wanted, word).await
}
