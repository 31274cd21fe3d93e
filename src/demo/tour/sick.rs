//! (c) v1.2.0 divides by the pieces in a pack. Staging has no goods without a number of them; production's come from
//! the old shop. Nothing tells the release to fail: its own pages do, under the visitors' requests.

use std::time::Instant;

use serde_json::{Value, json};

use super::check;
use super::walk::{Walk, named, seen};
use crate::cli::failure::Failure;
use crate::demo::millis;
use crate::domain::ids::EnvironmentName;
use crate::domain::state::{DeploymentKind, Ending};

pub(super) async fn station(walk: &mut Walk<'_>) -> Result<Value, Failure> {
    let (before, old) = walk.live("production")?;
    let (release, acknowledged) = walk.pipeline("v1.2.0").await?;
    walk.deploy("staging", release).await?;
    let load = walk.visitors(16, 2, "before")?;
    seen(&load, "answers before the deployment", super::walk::SHORTLY, |counted| {
        counted.all().requests() >= 200
    })
    .await?;
    let deployment = walk.promote("production", release).await?;
    walk.begun(deployment, "bake 10").await?;
    let began = Instant::now();
    let ending = walk.ending(deployment).await?;
    let noticed = millis(began);
    let why = match &ending {
        Ending::RolledBack { why } => why.clone(),
        other => format!("{other:?}"),
    };
    check(matches!(ending, Ending::RolledBack { .. }), "v1.2.0 is taken back", &why)?;
    walk.teller.took(&format!("  taken back: {why}"), began)?;
    let production = EnvironmentName::from("production");
    let back = walk
        .state
        .deployments
        .iter()
        .find(|(_, one)| one.kind == DeploymentKind::Rollback { of: deployment, automatic: true });
    let back = back.map(|(number, _)| *number);
    check(
        back.is_some(),
        "the engine itself began the rollback",
        format!("{:?}", walk.state.live(&production).map(|(_, one)| one.kind)),
    )?;
    if let Some(back) = back {
        walk.lives(back).await?;
    }
    load.mark("after");
    seen(&load, "answers after the rollback", super::walk::SHORTLY, |counted| {
        counted.phase("after").requests() >= 200
    })
    .await?;
    let counted = load.end().await;
    let (all, after) = (counted.all(), counted.phase("after"));
    let canary = all.of(&named(deployment));
    let others = all.failed() - canary.bad;
    walk.teller.say(&format!(
        "  {} requests; the sick canary answered {} of them well and {} badly, {others} others failed",
        all.requests(),
        canary.ok,
        canary.bad
    ))?;
    check(canary.bad > 0, "the sick release answered some requests badly", format!("{:?}", all.by))?;
    check(
        others == 0,
        "0 failed beyond those that the sick canary answered",
        format!("{others}: {:?}", counted.troubles),
    )?;
    let (live, answers) = walk.live("production")?;
    check(answers == old, &format!("{old} is live again"), format!("{answers} by {live}"))?;
    let is_old = |label: &String| *label == named(before) || back.is_some_and(|back| *label == named(back));
    check(
        after.failed() == 0 && after.by.keys().all(is_old),
        "only v1.1.0 answers, well",
        format!("{:?}", after.by),
    )?;
    Ok(json!({
        "release": release, "acknowledged": acknowledged, "why": why, "taken_back_ms": noticed.0, "requests": all.requests(),
        "canary_ok": canary.ok, "canary_failed": canary.bad, "others_failed": others, "answers_after": after.requests(),
    }))
}
