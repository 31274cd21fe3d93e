//! `towpath lease`: who may change an environment now, and taking that from them.

use super::failure::{Failure, Sort};
use super::{Invocation, deployments, session};
use crate::domain::command::Command;
use crate::domain::event::{Envelope, Event};
use crate::domain::health::LeaseHolder;
use crate::domain::ids::EnvironmentName;
use crate::domain::query::{Answer, Query};
use crate::print::environments::lease_text;
use crate::wire::client::Client;
use crate::wire::protocol::FromEngine;

/// Says who holds the lease; with a confirmation and a reason, breaks it.
pub(super) async fn lease(
    invocation: &mut Invocation,
    environment: &EnvironmentName,
    word: Option<(String, String)>,
) -> Result<u8, Failure> {
    let client = session::connect(&invocation.layout()?, "lease").await?;
    let (state, mut stream) = session::attach(&client).await?;
    if !state.deployments.values().any(|one| &one.environment == environment) {
        state.environment(environment)?;
    }
    let holder = holder(&client, environment).await?;
    let Some((confirm, reason)) = word else {
        let output = &mut invocation.output;
        if output.json {
            output.json("lease", &serde_json::json!({ "environment": environment, "holder": holder }))?;
        } else if let Some(holder) = holder {
            let text = output.style.words(&lease_text(&holder, session::now())).into_owned();
            output.line(&text)?;
        } else {
            output.line(&format!("nobody holds the lease of {environment}"))?;
        }
        return Ok(0);
    };
    let reason = deployments::reason(&reason)?;
    let Some(LeaseHolder { who, since, .. }) = holder else {
        let said = format!("Nobody holds the lease of {environment}: there is nothing to break.");
        return Err(Failure::usage(said, format!("`towpath promote {environment}` takes it.")));
    };
    let command =
        Command::BreakLease { environment: environment.clone(), who: who.clone(), since, confirm, reason };
    let mut rows = session::request(&client, command).await?;
    let trouble = loop {
        match stream.recv().await {
            Some(FromEngine::Happened { envelope }) => {
                if let Some(trouble) = ended(&envelope, environment) {
                    rows.push(envelope);
                    break trouble;
                }
            }
            Some(_) => {}
            None => {
                let hint = "Ask again with `towpath lease`: the engine does what it was told.";
                return Err(Failure::new(
                    Sort::Unreachable,
                    "The engine went away before it said what came of it.",
                    hint,
                ));
            }
        }
    };
    match trouble {
        None => {
            let said =
                format!("the lease of {environment} was taken from {who}; the next deployment gets it");
            invocation.carried_out("lease_broken", &rows, &said)
        }
        Some(why) => Err(Failure::new(
            Sort::Unclear,
            format!("The lease of {environment} was not broken: {why}."),
            format!("`towpath lease {environment}` says who holds it now."),
        )),
    }
}

/// Whether this row ends it: what stood in the way, if anything.
fn ended(envelope: &Envelope, environment: &EnvironmentName) -> Option<Option<String>> {
    match &envelope.event {
        Event::LeaseBreakEnded { environment: of, trouble } if of == environment => Some(trouble.clone()),
        _ => None,
    }
}

async fn holder(client: &Client, environment: &EnvironmentName) -> Result<Option<LeaseHolder>, Failure> {
    match session::ask(client, Query::Lease { environment: environment.clone() }).await? {
        Answer::Lease { holder } => Ok(holder),
        _ => Err(Failure::unexpected("who holds a lease")),
    }
}
