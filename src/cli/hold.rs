//! `towpath hold`: the deployment that is under way waits before its next step.

use super::failure::Failure;
use super::{Invocation, deployments, session};
use crate::domain::command::Command;
use crate::domain::ids::EnvironmentName;

pub(super) async fn hold(invocation: &mut Invocation, environment: &EnvironmentName) -> Result<u8, Failure> {
    let client = session::connect(&invocation.layout()?, "hold").await?;
    let (state, _stream) = session::attach(&client).await?;
    let (deployment, _) = deployments::under_way(&state, environment)?;
    let rows = session::request(&client, Command::Hold { deployment }).await?;
    let place = invocation.place();
    let said = format!(
        "deployment {deployment} to {environment} is held before its next step; to go on: towpath go \
         {environment} --reason \"...\"{place}"
    );
    invocation.carried_out("held", &rows, &said)
}
