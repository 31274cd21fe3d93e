//! (f) The journal's hash chain holds; a copy in which one row was altered is found out.

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use super::check;
use super::walk::Walk;
use crate::cli::failure::{Failure, Sort};
use crate::cli::session;
use crate::domain::query::{Answer, Query};
use crate::store::journal::verify_file;

pub(super) async fn station(walk: &mut Walk<'_>) -> Result<Value, Failure> {
    let Answer::Chain { rows, broken } = session::ask(&walk.client, Query::VerifyChain).await? else {
        return Err(Failure::unexpected("verify"));
    };
    check(broken.is_none(), "the journal's chain holds", format!("{broken:?}"))?;
    walk.teller.say(&format!("  $ towpath verify    the chain holds: {rows} rows"))?;
    let copy = walk.place.root().join("journal-copy.db");
    let _ = std::fs::remove_file(&copy);
    let unclear = |error: rusqlite::Error| {
        Failure::new(Sort::Unclear, format!("The copy cannot be made: {error}."), "")
    };
    let journal = Connection::open_with_flags(walk.layout.journal(), OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(unclear)?;
    journal.execute("VACUUM INTO ?1", [copy.to_string_lossy()]).map_err(unclear)?;
    let verified = |what: &str| {
        verify_file(&copy)
            .map_err(|error| Failure::new(Sort::StepFailed, format!("{what} cannot be read: {error}."), ""))
    };
    let whole = verified("The copy")?;
    check(whole.broken.is_none(), "the copy's chain holds too", format!("{:?}", whole.broken))?;
    let row = whole.rows / 2;
    let altering = Connection::open(&copy).map_err(unclear)?;
    // Whoever alters a journal takes the triggers away first.
    altering.execute_batch("DROP TRIGGER journal_no_update").map_err(unclear)?;
    let altered = altering
        .execute("UPDATE journal SET actor = '{\"kind\":\"operator\",\"name\":\"nobody\",\"terminal\":\"-\"}' WHERE seq = ?1", [i64::try_from(row).unwrap_or(0)])
        .map_err(unclear)?;
    drop(altering);
    check(altered == 1, "one row of the copy is altered", altered)?;
    let found = verified("The altered copy")?.broken;
    let at = found.as_ref().map(|(seq, _)| seq.0);
    check(at == Some(row), &format!("the altered copy is found broken at row {row}"), format!("{found:?}"))?;
    let why = found.map(|(_, why)| why).unwrap_or_default();
    walk.teller.say(&format!("  $ towpath verify {}    broken at row {row}: {why}", copy.display()))?;
    Ok(json!({ "rows": rows, "altered_row": row, "found_at": at }))
}
