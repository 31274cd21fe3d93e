use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::*;

const SMALL: Limits = Limits { segment: 4096, total: 20_000 };

fn write(writer: &mut Writer, range: std::ops::Range<u64>) {
    for number in range {
        writer
            .line(
                Timestamp(1000 + number.cast_signed()),
                Source::Output,
                &format!("line {number} of the log"),
            )
            .unwrap();
    }
    writer.flush().unwrap();
}

fn numbers(lines: &[Line]) -> Vec<u64> {
    lines.iter().map(|line| line.number).collect()
}

#[test]
fn what_is_written_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("a/b/log");
    let mut reader = Reader::open(&log).unwrap();
    assert!(reader.poll().unwrap().is_empty(), "the directory does not exist yet");
    let mut writer = Writer::create(&log, Limits::default()).unwrap();
    writer.line(Timestamp(5), Source::Error, "\u{1b}[31mréd\u{1b}[0m  ").unwrap();
    writer.line(Timestamp(6), Source::Towpath, "two\nlines").unwrap();
    writer.line(Timestamp(7), Source::Output, "").unwrap();
    writer.flush().unwrap();
    let line = |number, at, source, text: &str| Line { number, at: Timestamp(at), source, text: text.into() };
    let expected = [
        line(0, 5, Source::Error, "\u{1b}[31mréd\u{1b}[0m  "),
        line(1, 6, Source::Towpath, "two lines"),
        line(2, 7, Source::Output, ""),
    ];
    assert_eq!(reader.poll().unwrap(), expected);
    assert!(reader.poll().unwrap().is_empty());
    assert_eq!(
        std::fs::read_to_string(log.join("000001.log")).unwrap(),
        "5 e \u{1b}[31mréd\u{1b}[0m  \n6 t two lines\n7 o \n"
    );
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&log), mode(&log.join("000001.log"))), (0o700, 0o600));
}

#[test]
fn lines_are_found_by_number_over_segments() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(directory.path(), Limits { total: u64::MAX / 2, ..SMALL }).unwrap();
    write(&mut writer, 0..5000);
    assert!(segments(directory.path()).unwrap().len() > 20);
    let mut reader = Reader::open(directory.path()).unwrap();
    assert_eq!((reader.end(), reader.len_hint()), (5000, 5000));
    for number in [0, 1, 511, 512, 513, 2500, 4998, 4999] {
        assert_eq!(reader.line_at(number).unwrap().unwrap().text, format!("line {number} of the log"));
    }
    assert_eq!(reader.line_at(5000).unwrap(), None);
    assert_eq!(numbers(&reader.lines(100..400).unwrap()), (100..400).collect::<Vec<_>>());
    assert_eq!(numbers(&reader.lines(4990..6000).unwrap()), (4990..5000).collect::<Vec<_>>());
    assert_eq!(numbers(&reader.before(300, 250).unwrap()), (50..300).collect::<Vec<_>>());
    assert_eq!(numbers(&reader.before(3, 10).unwrap()), [0, 1, 2]);
    assert_eq!(numbers(&reader.tail(3).unwrap()), [4997, 4998, 4999]);
    write(&mut writer, 5000..5400);
    assert_eq!(numbers(&reader.poll().unwrap()), (5000..5400).collect::<Vec<_>>());
    assert_eq!(numbers(&reader.after(Position(5390)).unwrap()), (5390..5400).collect::<Vec<_>>());
}

#[test]
fn a_partial_last_line_waits() {
    let directory = tempfile::tempdir().unwrap();
    drop(Writer::create(directory.path(), SMALL).unwrap());
    let mut raw = OpenOptions::new().append(true).open(directory.path().join("000001.log")).unwrap();
    raw.write_all(b"1 o one\n2 o tw").unwrap();
    let mut reader = Reader::open(directory.path()).unwrap();
    assert_eq!(numbers(&reader.poll().unwrap()), [0]);
    raw.write_all(b"o\n").unwrap();
    let lines = reader.poll().unwrap();
    assert_eq!((lines[0].number, lines[0].text.as_str()), (1, "two"));
}

#[test]
fn a_writer_goes_on_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(directory.path(), SMALL).unwrap();
    write(&mut writer, 0..300);
    drop(writer);
    let last = *segments(directory.path()).unwrap().last().unwrap();
    // A torn line, and an index that never reached the disk.
    let mut raw = OpenOptions::new().append(true).open(log_path(directory.path(), last)).unwrap();
    raw.write_all(b"99 o to").unwrap();
    std::fs::write(index::index_path(directory.path(), last), b"").unwrap();
    let mut writer = Writer::create(directory.path(), SMALL).unwrap();
    write(&mut writer, 301..310);
    let mut reader = Reader::open(directory.path()).unwrap();
    let lines = reader.tail(10).unwrap();
    assert_eq!((lines[0].number, lines[0].text.as_str()), (300, "to"));
    for line in &lines[1..] {
        assert_eq!(line.text, format!("line {} of the log", line.number));
    }
}

#[test]
fn a_log_past_its_bound_loses_its_middle_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(directory.path(), SMALL).unwrap();
    write(&mut writer, 0..10);
    let mut following = Reader::open(directory.path()).unwrap();
    let mut followed = following.poll().unwrap();
    for batch in 0..50 {
        write(&mut writer, 10 + batch * 100..110 + batch * 100);
        followed.extend(following.poll().unwrap());
    }
    drop(writer);
    let size: u64 = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(size < SMALL.total + 4096, "{size}");
    let mut reader = Reader::open(directory.path()).unwrap();
    let lines = reader.poll().unwrap();
    assert_eq!(lines.len() as u64, reader.len_hint());
    assert_eq!(lines[0].number, 0);
    assert_eq!(lines.last().unwrap().number, 5009);
    let gaps: Vec<_> = lines.windows(2).filter(|pair| pair[1].number != pair[0].number + 1).collect();
    assert_eq!(gaps.len(), 1);
    let [told, after] = gaps[0] else { panic!() };
    assert_eq!(told.source, Source::Towpath);
    assert!(
        told.text.starts_with(&format!("({} lines, about ", after.number - told.number)),
        "{}",
        told.text
    );
    for line in lines.iter().filter(|line| line.number != told.number) {
        assert_eq!(line.text, format!("line {} of the log", line.number));
    }
    assert_eq!(numbers(&reader.before(after.number, 2).unwrap()), [told.number - 1, told.number]);
    assert_eq!(reader.line_at(after.number - 1).unwrap(), None);
    // Who followed saw every line once, and was not disturbed.
    let text: Vec<_> =
        followed.iter().filter(|line| line.source == Source::Output).map(|line| line.number).collect();
    assert_eq!(text, (0..5010).collect::<Vec<_>>());
    // And a writer that opens it again goes on.
    let mut writer = Writer::create(directory.path(), SMALL).unwrap();
    write(&mut writer, 5010..5020);
    assert_eq!(reader.poll().unwrap().len(), 10);
}

#[test]
fn a_million_lines_open_by_their_indexes() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(directory.path(), Limits::default()).unwrap();
    for number in 0..1_000_000_u64 {
        writer.line(Timestamp(number.cast_signed()), Source::Output, "an ordinary line").unwrap();
    }
    writer.flush().unwrap();
    let mut reader = Reader::open(directory.path()).unwrap();
    assert_eq!(reader.len_hint(), 1_000_000);
    assert_eq!(reader.line_at(765_432).unwrap().unwrap().at, Timestamp(765_432));
    assert_eq!(numbers(&reader.tail(2).unwrap()), [999_998, 999_999]);
    let held: usize = reader.segments_entries();
    assert!(held < 5000, "the index is sparse: {held} entries");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn any_range_is_what_was_written(
        lengths in proptest::collection::vec(0_usize..600, 1..200),
        start in 0_u64..220,
        count in 0_u64..220,
        reopen in 0_usize..200,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let limits = Limits { segment: 5000, total: u64::MAX / 2 };
        let mut writer = Writer::create(directory.path(), limits).unwrap();
        let mut early = Reader::open(directory.path()).unwrap();
        for (at, length) in lengths.iter().enumerate() {
            if at == reopen {
                drop(writer);
                writer = Writer::create(directory.path(), limits).unwrap();
                early.refresh().unwrap();
            }
            writer.line(Timestamp(0), Source::Output, &"x".repeat(*length)).unwrap();
        }
        writer.flush().unwrap();
        early.refresh().unwrap();
        for reader in [early, Reader::open(directory.path()).unwrap()] {
            let read = reader.lines(start..start + count).unwrap();
            let from = usize::try_from(start).unwrap().min(lengths.len());
            let to = usize::try_from(start + count).unwrap().min(lengths.len());
            let expected = &lengths[from..to];
            prop_assert_eq!(read.iter().map(|line| line.text.len()).collect::<Vec<_>>(), expected);
        }
    }
}
