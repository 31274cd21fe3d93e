//! (a) v1.0.0 through the pipeline to staging and, by blue-green, to production.

use std::time::Instant;

use serde_json::{Value, json};

use super::check;
use super::walk::{Walk, named, seen};
use crate::cli::failure::Failure;
use crate::demo::{data, millis};
use crate::domain::ids::EnvironmentName;

pub(super) async fn station(walk: &mut Walk<'_>) -> Result<Value, Failure> {
    let began = Instant::now();
    let (release, acknowledged) = walk.pipeline("v1.0.0").await?;
    let pipeline = millis(began);
    let mut took = Vec::new();
    let mut last = None;
    for environment in crate::demo::ENVIRONMENTS {
        let began = Instant::now();
        last = Some(walk.deploy(environment, release).await?);
        took.push(millis(began).0);
        let began = Instant::now();
        let name = EnvironmentName::from(environment);
        let found = walk.state.release(release)?.clone();
        let said = data::seed(&walk.place, &walk.state, &found, &name).await?;
        walk.teller.took(&format!("  $ manage.py seed --scale {environment}    {said}"), began)?;
    }
    // Every page that visitors ask for later, once through nginx.
    let load = walk.visitors(4, 0, "a")?;
    seen(&load, "a hundred answers through nginx", super::walk::SHORTLY, |counted| {
        counted.all().requests() >= 100
    })
    .await?;
    let counted = load.end().await;
    let all = counted.all();
    let by = last.map(named).unwrap_or_default();
    check(
        all.failed() == 0 && all.of(&by).ok == all.requests(),
        &format!("every answer of production is 2xx and of {by}"),
        format!("{} requests: {:?}, {:?}", all.requests(), all.by, counted.troubles),
    )?;
    Ok(json!({
        "release": release, "pipeline_ms": pipeline.0, "acknowledged": acknowledged, "staging_ms": took.first(),
        "production_ms": took.last(), "answers": all.requests(),
    }))
}
