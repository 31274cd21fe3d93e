//! `towpath environments`: what is live where, what is under way there, and how it is.

use std::time::Duration;

use super::failure::Failure;
use super::{Invocation, session};
use crate::print::environments::{Measured, blocks, objects};
use crate::wire::protocol::FromEngine;

/// How long the newest samples are waited for: the engine sends them after the snapshot, or has none yet.
const HEARD_WITHIN: Duration = Duration::from_secs(1);

pub(super) async fn environments(invocation: &mut Invocation) -> Result<u8, Failure> {
    let client = session::connect(&invocation.layout()?, "environments").await?;
    let (mut state, mut stream) = session::attach(&client).await?;
    let mut measured = Measured::default();
    let heard = async {
        while !measured.is_complete(&state) {
            match stream.recv().await {
                Some(FromEngine::Sampled { sample }) => measured.take(sample),
                Some(FromEngine::Happened { envelope }) => state.apply(&envelope),
                Some(_) => {}
                None => break,
            }
        }
    };
    // What is not heard of by then is said to be so.
    let _ = tokio::time::timeout(HEARD_WITHIN, heard).await;
    let place = invocation.place();
    let output = &mut invocation.output;
    if output.json {
        return objects(&state, &measured)
            .iter()
            .try_for_each(|one| output.json("environment", one))
            .map(|()| 0);
    }
    let lines = blocks(&output.style, &state, &measured, session::now(), &place);
    if lines.is_empty() {
        output.line("towpath.toml names no environment")?;
    }
    output.lines(lines)?;
    Ok(0)
}
