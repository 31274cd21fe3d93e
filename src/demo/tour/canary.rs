//! (b) v1.1.0 to production by canary, while visitors ask: none of them may notice.

use serde_json::{Value, json};

use super::check;
use super::walk::{DEPLOYMENT, Walk, named, seen};
use crate::cli::failure::Failure;
use crate::domain::project::Strategy;

/// The canary's weights, per cent.
const WEIGHTS: [u8; 2] = [10, 50];
/// How far the canary's share of the answers may be from its weight, per cent of all answers.
const TOLERANCE: f64 = 5.0;
/// Connections that stay open, and how many requests there are at least.
const CONNECTIONS: usize = 16;
const REQUESTS: u64 = 20_000;
/// The canary's bake, seconds.
pub(super) const BAKE: u64 = 15;

/// As `towpath.toml` has it.
pub(super) const STRATEGY: &str = "{ canary = [10, 50], bake = \"15s\" }";

pub(super) async fn station(walk: &mut Walk<'_>) -> Result<Value, Failure> {
    let (release, acknowledged) = walk.pipeline("v1.1.0").await?;
    walk.deploy("staging", release).await?;
    walk.strategy(STRATEGY, Strategy::Canary(WEIGHTS.to_vec()), BAKE).await?;
    let load = walk.visitors(CONNECTIONS, 0, "before")?;
    walk.teller
        .say(&format!("  {CONNECTIONS} visitors ask production, without a pause and without a second try"))?;
    seen(&load, "answers before the deployment", super::walk::SHORTLY, |counted| {
        counted.all().requests() >= 500
    })
    .await?;
    let deployment = walk.promote("production", release).await?;
    let by = named(deployment);
    let mut next = ["shift 50", "shift 100"].into_iter();
    for weight in WEIGHTS {
        walk.passed(deployment, &format!("shift {weight}")).await?;
        load.mark(&weight.to_string());
        walk.begun(deployment, next.next().unwrap_or("shift 100")).await?;
        load.mark("switching");
    }
    walk.passed(deployment, "shift 100").await?;
    load.mark("100");
    walk.lives(deployment).await?;
    seen(&load, "20,000 requests", DEPLOYMENT, |counted| counted.all().requests() >= REQUESTS).await?;
    let counted = load.end().await;
    let all = counted.all();
    let shares = WEIGHTS.map(|weight| {
        let phase = counted.phase(&weight.to_string());
        let answers = phase.of(&by);
        (weight, phase.requests(), percent(answers.ok + answers.bad, phase.requests()))
    });
    for (weight, requests, share) in shares {
        walk.teller.say(&format!("  at {weight} %: {share:.1} % of {requests} answers were the canary's"))?;
    }
    walk.teller.say(&format!(
        "  {} requests, {} failed; median {}, 99 of 100 within {}, slowest {}; {} connections opened again between requests",
        all.requests(), all.failed(), counted.median, counted.p99, counted.slowest, counted.reopened
    ))?;
    check(
        all.failed() == 0,
        "0 failed requests",
        format!("{} of {}: {:?}", all.failed(), all.requests(), counted.troubles),
    )?;
    check(all.requests() >= REQUESTS, "at least 20,000 requests", all.requests())?;
    for (weight, requests, share) in shares {
        check(
            (share - f64::from(weight)).abs() <= TOLERANCE,
            &format!("the canary's share within {TOLERANCE} points of {weight} %"),
            format!("{share:.1} % of {requests}"),
        )?;
    }
    let settled = counted.phase("100");
    check(
        settled.of(&by).ok > 0,
        "answers of the new release with all of the traffic",
        format!("{:?}", settled.by),
    )?;
    let shares: Vec<Value> = shares
        .iter()
        .map(|(weight, requests, share)| json!({ "weight": weight, "requests": requests, "share": round(*share) }))
        .collect();
    Ok(json!({
        "release": release, "acknowledged": acknowledged, "connections": CONNECTIONS, "requests": all.requests(),
        "failed": all.failed(), "reopened": counted.reopened, "shares": shares, "median_ms": counted.median.0,
        "p99_ms": counted.p99.0, "slowest_ms": counted.slowest.0,
    }))
}

fn round(share: f64) -> f64 {
    (share * 10.0).round() / 10.0
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}
