//! `towpath leave`: a held deployment ends as it is.

use super::failure::Failure;
use super::{Invocation, deployments, session};
use crate::domain::command::Command;
use crate::domain::ids::EnvironmentName;

pub(super) async fn leave(
    invocation: &mut Invocation,
    environment: &EnvironmentName,
    confirm: String,
    reason: String,
) -> Result<u8, Failure> {
    let reason = deployments::reason(&reason)?;
    let client = session::connect(&invocation.layout()?, "leave").await?;
    let (state, _stream) = session::attach(&client).await?;
    let (deployment, _) = deployments::under_way(&state, environment)?;
    let rows = session::request(&client, Command::Leave { deployment, confirm, reason }).await?;
    let said = format!(
        "deployment {deployment} is left as it is; {environment} is free for another one. What answers there is not \
         verified"
    );
    invocation.carried_out("left", &rows, &said)
}
