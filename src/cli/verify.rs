//! `towpath verify`: whether the journal's hash chain holds.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::{Failure, Sort, sentence};
use super::{Invocation, session};
use crate::domain::ids::Seq;
use crate::domain::query::{Answer, Query};

pub(super) async fn verify(invocation: &mut Invocation, file: Option<PathBuf>) -> Result<u8, Failure> {
    let (rows, broken) = match file {
        Some(file) => verify_copy(&file)?,
        None => {
            let client = session::connect(&invocation.layout()?, "verify").await?;
            match session::ask(&client, Query::VerifyChain).await? {
                Answer::Chain { rows, broken } => (rows, broken),
                _ => return Err(Failure::unexpected("verify")),
            }
        }
    };
    let output = &mut invocation.output;
    if output.json {
        let broken = broken.as_ref().map(|(seq, why)| json!({ "seq": seq, "why": why }));
        output.json("chain", &json!({ "rows": rows, "broken": broken }))?;
    }
    match broken {
        Some((seq, why)) if output.json => {
            crate::cli::output::note(&format!("the chain is broken at row {seq}: {why}"));
            Ok(Sort::Unclear.code())
        }
        Some((seq, why)) => Err(Failure::new(
            Sort::Unclear,
            sentence(&format!("The journal's chain is broken at row {seq}: {why}")),
            "Rows from there on were not written by Towpath as they are now. Keep a copy before anything else.",
        )),
        None => {
            if !output.json {
                output.line(&format!("the chain holds: {rows} rows"))?;
            }
            Ok(0)
        }
    }
}

/// Reads a copy without an engine, and without changing a byte of it.
fn verify_copy(file: &Path) -> Result<(u64, Option<(Seq, String)>), Failure> {
    if !file.is_file() {
        return Err(Failure::usage(format!("There is no file {}.", file.display()), ""));
    }
    let chain = crate::store::journal::verify_file(file)
        .map_err(|error| Failure::new(Sort::Unclear, sentence(&error.to_string()), ""))?;
    Ok((chain.rows, chain.broken))
}
