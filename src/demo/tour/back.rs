//! (d) One key takes production back to v1.0.0: once when its replicas are gone and have to be started, once inside a
//! bake, when they are still warm.

use std::time::Instant;

use serde_json::{Value, json};

use super::check;
use super::walk::{Walk, created, named, seen};
use crate::cli::failure::Failure;
use crate::cli::session;
use crate::demo::load::Load;
use crate::demo::millis;
use crate::domain::command::{Command, Rollback};
use crate::domain::ids::{DeploymentId, EnvironmentName};
use crate::domain::project::Strategy;
use crate::domain::query::{Answer, Query};

pub(super) async fn station(walk: &mut Walk<'_>) -> Result<Value, Failure> {
    let load = walk.visitors(8, 2, "before")?;
    seen(&load, "answers before", super::walk::SHORTLY, |counted| counted.all().requests() >= 100).await?;
    let (_, newer) = walk.live("production")?;

    // Cold: its replicas were stopped when v1.1.0 had proved itself.
    let environment = EnvironmentName::from("production");
    let query = Query::PreviewRollback { environment: environment.clone(), to: None };
    let Answer::Rollback { preview } = session::ask(&walk.client, query).await? else {
        return Err(Failure::unexpected("what a rollback would do"));
    };
    let wanted = walk.state.release(preview.to.1)?;
    check(
        wanted.version.as_deref() == Some("1.0.0"),
        "the rollback goes to v1.0.0",
        format!("{:?}", wanted.version),
    )?;
    walk.teller.say(&format!("  $ towpath rollback production    {} to {}", preview.from.1, preview.to.1))?;
    let command = Command::Rollback(Rollback {
        environment,
        from: preview.from.0,
        to: None,
        confirm: "production".to_owned(),
        reason: "the demo's tour".to_owned(),
    });
    load.mark("cold");
    let began = Instant::now();
    let back = created(&session::request(&walk.client, command).await?)?;
    walk.lives(back).await?;
    let whole = millis(began);
    let cold = first_of(&load, "cold", back).await?;
    walk.teller.say(&format!(
        "  first answer of v1.0.0 after {cold} ms (its replicas had to be started); all done after {whole}"
    ))?;

    // Warm: v1.1.0 goes live once more, and is taken back inside its bake.
    walk.strategy("\"blue-green\"", Strategy::BlueGreen, 15).await?;
    let again = walk.promote("production", newer).await?;
    walk.passed(again, "shift 100").await?;
    walk.begun(again, "bake").await?;
    let reason = "the demo's tour".to_owned();
    walk.teller.say("  $ towpath back production    in the bake, while the old replicas are warm")?;
    load.mark("warm");
    let command = Command::Back { deployment: again, confirm: "production".to_owned(), reason };
    let taken = created(&session::request(&walk.client, command).await?)?;
    walk.lives(taken).await?;
    let warm = first_of(&load, "warm", back).await?;
    walk.teller.say(&format!("  first answer of v1.0.0 after {warm} ms (one switch of traffic)"))?;
    let counted = load.end().await;
    let all = counted.all();
    check(
        all.failed() == 0,
        "0 failed requests",
        format!("{} of {}: {:?}", all.failed(), all.requests(), counted.troubles),
    )?;
    let (_, live) = walk.live("production")?;
    check(live == preview.to.1, "v1.0.0 is live", live)?;
    Ok(json!({
        "cold_first_answer_ms": cold, "cold_done_ms": whole.0, "warm_first_answer_ms": warm, "requests": all.requests(),
        "failed": all.failed(),
    }))
}

/// How long after the mark a deployment's first answer was there, milliseconds.
async fn first_of(load: &Load, phase: &str, deployment: DeploymentId) -> Result<u64, Failure> {
    let by = named(deployment);
    seen(load, &format!("an answer of {by}"), super::walk::SHORTLY, |counted| {
        counted.phase(phase).first.contains_key(&by)
    })
    .await?;
    let first = load.counted().phase(phase).first.get(&by).map(std::time::Duration::as_millis);
    Ok(first.and_then(|first| u64::try_from(first).ok()).unwrap_or(u64::MAX))
}
