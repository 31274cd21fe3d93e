//! `towpath verify`: whether the journal's hash chain holds.

use std::path::PathBuf;

use serde_json::json;

use super::failure::{Failure, Sort};
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
            format!("The journal's chain is broken at row {seq}: {why}"),
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

fn verify_copy(_file: &std::path::Path) -> Result<(u64, Option<(Seq, String)>), Failure> {
    Err(Failure::new(Sort::Unreachable, "This build cannot read a copy.", ""))
}
