//! `towpath go`: a held deployment goes on.

use super::failure::Failure;
use super::{Invocation, deployments, follow, session};
use crate::domain::command::Command;
use crate::domain::ids::EnvironmentName;

pub(super) async fn go(
    invocation: &mut Invocation,
    environment: &EnvironmentName,
    reason: String,
    detach: bool,
) -> Result<u8, Failure> {
    let reason = deployments::reason(&reason)?;
    let layout = invocation.layout()?;
    let client = session::connect(&layout, "go").await?;
    let (state, _stream) = session::attach(&client).await?;
    let (deployment, _) = deployments::under_way(&state, environment)?;
    let command = Command::Go { deployment, reason };
    let asked = follow::Asked { command, deployment: Some(deployment), detach };
    follow::carry_out(invocation, &layout, client, asked).await
}
