use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;
use crate::domain::ids::{AttemptKey, Owner, StepId};

fn started(run: u64) -> Event {
    Event::RunStarted { run: RunId(run) }
}

fn step(run: u64, name: &str) -> Event {
    let owner = Owner::Run(RunId(run));
    Event::StepStarted { key: AttemptKey { owner, step: StepId::from(name), attempt: 1 } }
}

fn marta() -> Actor {
    Actor::Operator { name: "marta".to_owned(), terminal: "pts/3".to_owned() }
}

/// A journal of five rows, closed.
fn five() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal ?#%.db");
    let mut journal = Journal::open(&path).unwrap();
    journal.append(Timestamp(1000), &Actor::Engine, &[Event::EngineStarted { version: "1".into() }]).unwrap();
    journal.append(Timestamp(2000), &marta(), &[started(1), step(1, "install")]).unwrap();
    journal.append(Timestamp(3000), &Actor::Engine, &[started(2), step(2, "ruff-check-marker")]).unwrap();
    (directory, path)
}

#[test]
fn what_is_appended_is_read_again() {
    let (_directory, path) = five();
    let mut journal = Journal::open(&path).unwrap();
    assert_eq!(journal.last().unwrap(), Seq(5));
    let more = journal.append(Timestamp(4000), &marta(), &[step(1, "test"), started(3)]).unwrap();
    assert_eq!(more.iter().map(|row| row.seq.0).collect::<Vec<_>>(), [6, 7]);
    let mut all = Vec::new();
    journal.for_each(|row| all.push(row)).unwrap();
    assert_eq!(all.len(), 7);
    assert_eq!(all[1].actor, marta());
    assert_eq!(all[5..], more);
    assert_eq!(journal.read(Seq(3), 2).unwrap(), all[3..5]);
    let run: Vec<u64> = journal.read_run(RunId(1), Seq(2), 10).unwrap().iter().map(|row| row.seq.0).collect();
    assert_eq!(run, [3, 6]);
    assert_eq!(journal.verify().unwrap(), Chain { rows: 7, broken: None });
    assert!(journal.append(Timestamp(1), &Actor::Engine, &[]).unwrap().is_empty());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn rows_cannot_be_changed_or_deleted() {
    let (_directory, path) = five();
    let journal = Journal::open(&path).unwrap();
    for sql in [
        "UPDATE journal SET at = 1",
        "DELETE FROM journal",
        "DELETE FROM head",
        "REPLACE INTO journal SELECT * FROM journal",
    ] {
        assert!(journal.connection.execute(sql, []).is_err(), "{sql}");
    }
    assert_eq!(journal.verify().unwrap().broken, None);
}

/// Changes a journal as somebody with an SQL prompt could, and says what `verify_file` finds.
fn tampered(sql: &str) -> Option<(Seq, String)> {
    let (_directory, path) = five();
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("DROP TRIGGER journal_no_update; DROP TRIGGER journal_no_delete;").unwrap();
    connection.execute_batch("DROP TRIGGER head_no_delete;").unwrap();
    connection.execute_batch(sql).unwrap();
    connection.close().unwrap();
    verify_file(&path).unwrap().broken
}

#[test]
fn any_change_breaks_the_chain_where_it_was_made() {
    let cases = [
        ("UPDATE journal SET at = at + 1 WHERE seq = 3", 3),
        ("UPDATE journal SET actor = '{\"kind\":\"engine\"}' WHERE seq = 2", 2),
        ("UPDATE journal SET version = 2 WHERE seq = 4", 4),
        ("UPDATE journal SET event = replace(event, '1', '9') WHERE seq = 2", 2),
        ("UPDATE journal SET event = event || ' ' WHERE seq = 5", 5),
        ("UPDATE journal SET run = 7 WHERE seq = 2", 2),
        ("UPDATE journal SET run = NULL WHERE seq = 3", 3),
        ("UPDATE journal SET previous = zeroblob(32) WHERE seq = 3", 3),
        ("UPDATE journal SET hash = zeroblob(32) WHERE seq = 3", 3),
        ("DELETE FROM journal WHERE seq = 1", 1),
        ("DELETE FROM journal WHERE seq = 3", 3),
        ("DELETE FROM journal WHERE seq = 5", 5),
        ("DELETE FROM journal WHERE seq > 2", 3),
        ("DELETE FROM journal", 1),
        (
            "INSERT INTO journal SELECT 6, at, actor, version, event, run, previous, hash FROM journal WHERE seq = 5",
            6,
        ),
        ("DELETE FROM head", 6),
        ("UPDATE head SET hash = zeroblob(32)", 5),
    ];
    for (sql, seq) in cases {
        assert_eq!(tampered(sql).map(|(seq, _)| seq.0), Some(seq), "{sql}");
    }
}

#[test]
fn a_byte_altered_in_a_copy_breaks_it_there() {
    let (directory, path) = five();
    // The last connection that closes writes everything into the file itself.
    let mut bytes = std::fs::read(&path).unwrap();
    assert_eq!(verify_file(&path).unwrap(), Chain { rows: 5, broken: None });
    let at = bytes.windows(17).position(|window| window == b"ruff-check-marker").unwrap();
    bytes[at] = b'R';
    let copy = directory.path().join("copy.db");
    std::fs::write(&copy, &bytes).unwrap();
    let chain = verify_file(&copy).unwrap();
    assert_eq!((chain.rows, chain.broken.map(|(seq, _)| seq)), (4, Some(Seq(5))));
    assert_eq!(std::fs::read(&copy).unwrap(), bytes, "verifying changes nothing");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "and leaves nothing");
}

#[test]
fn every_byte_of_every_row_counts() {
    let (directory, path) = five();
    let bytes = std::fs::read(&path).unwrap();
    let copy = directory.path().join("copy.db");
    for (text, seq) in [(&b"engine_started"[..], 1), (b"\"step\":\"install\"", 3), (b"pts/3", 2)] {
        let at = bytes.windows(text.len()).position(|window| window == text).unwrap();
        for offset in 0..text.len() {
            let mut altered = bytes.clone();
            altered[at + offset] ^= 1;
            std::fs::write(&copy, &altered).unwrap();
            let broken = verify_file(&copy).unwrap().broken.expect("a changed byte is seen");
            // Two rows carry the operator: the first in the file may be either.
            assert!(broken.0.0 == seq || text == b"pts/3" && broken.0.0 == 3, "{broken:?}");
        }
    }
}

#[test]
fn a_copy_with_its_log_beside_it_is_read_whole() {
    let (directory, path) = five();
    let mut journal = Journal::open(&path).unwrap();
    journal.append(Timestamp(5), &marta(), &[started(9)]).unwrap();
    let copy = directory.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    let beside = |suffix: &str| format!("{}{suffix}", path.display());
    std::fs::copy(beside("-wal"), directory.path().join("copy.db-wal")).unwrap();
    assert_eq!(verify_file(&copy).unwrap(), Chain { rows: 6, broken: None });
}

#[test]
fn an_unknown_version_is_refused() {
    let (_directory, path) = five();
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("DROP TRIGGER journal_no_update; UPDATE journal SET version = 9 WHERE seq = 3")
        .unwrap();
    connection.close().unwrap();
    let journal = Journal::open(&path).unwrap();
    let mut seen = 0;
    let error = journal.for_each(|_| seen += 1).unwrap_err();
    assert!(matches!(error, StoreError::UnknownVersion { seq: Seq(3), version: 9 }), "{error}");
    assert_eq!(seen, 2);
    assert_eq!(journal.read(Seq(3), 9).unwrap().len(), 2, "rows of a known version are read");
}

#[test]
fn an_event_of_another_version_is_said_to_be_one_and_leaves_the_chain_whole() {
    let (_directory, path) = five();
    let mut connection = Connection::open(&path).unwrap();
    let event = r#"{"type":"run_repainted","run":1}"#;
    let row = |transaction: &rusqlite::Transaction<'_>, column: &str| -> Vec<u8> {
        transaction
            .query_row(&format!("SELECT {column} FROM journal WHERE seq = 5"), [], |row| row.get(0))
            .unwrap()
    };
    let transaction = connection.transaction().unwrap();
    let before = row(&transaction, "hash");
    let (at, actor): (i64, String) = transaction
        .query_row("SELECT at, actor FROM journal WHERE seq = 5", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let hash = chain::hash(6, at, &actor, 1, event, &before);
    transaction
        .execute(
            "INSERT INTO journal (seq, at, actor, version, event, run, previous, hash) VALUES (6, ?1, ?2, 1, ?3, 1, ?4, ?5)",
            rusqlite::params![at, actor, event, before, hash.as_slice()],
        )
        .unwrap();
    transaction.execute("UPDATE head SET seq = 6, hash = ?1", [hash.as_slice()]).unwrap();
    transaction.commit().unwrap();
    connection.close().unwrap();
    let error = Journal::open(&path).unwrap().for_each(|_| {}).unwrap_err();
    assert!(matches!(&error, StoreError::UnknownEvent { seq: Seq(6), .. }), "{error}");
    assert!(error.to_string().contains("run_repainted"), "{error}");
    assert_eq!(verify_file(&path).unwrap(), Chain { rows: 6, broken: None });
}

#[test]
fn what_is_not_a_journal_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text");
    std::fs::write(&text, "not a database, but long enough to have a header that could be read").unwrap();
    assert!(matches!(Journal::open(&text), Err(StoreError::Corrupt { .. })));
    let other = directory.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(matches!(Journal::open(&other), Err(StoreError::Corrupt { .. })));
    let (_directory, newer) = five();
    Connection::open(&newer).unwrap().pragma_update(None, "user_version", 2).unwrap();
    assert!(matches!(Journal::open(&newer), Err(StoreError::UnknownLayout { version: 2, .. })));
    assert!(matches!(verify_file(&newer), Err(StoreError::UnknownLayout { version: 2, .. })));
}

#[test]
fn a_full_disk_writes_all_or_nothing() {
    let (_directory, path) = five();
    let mut journal = Journal::open(&path).unwrap();
    let pages: i64 = journal.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    journal.connection.pragma_update(None, "max_page_count", pages + 4).unwrap();
    let many: Vec<Event> = (0..2000).map(started).collect();
    let error = journal.append(Timestamp(9), &marta(), &many).unwrap_err();
    assert!(error.is_disk_full(), "{error}");
    assert_eq!(journal.verify().unwrap(), Chain { rows: 5, broken: None });
    journal.append(Timestamp(9), &marta(), &many[..1]).unwrap();
    assert_eq!(journal.last().unwrap(), Seq(6));
}

#[test]
fn a_journal_in_use_says_busy() {
    let (_directory, path) = five();
    let mut journal = Journal::open(&path).unwrap();
    journal.connection.busy_timeout(Duration::from_millis(1)).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = journal.append(Timestamp(9), &marta(), &[started(1)]).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
}
