//! One question to a PostgreSQL server, over its own protocol (version 3, simple query). Enough to know that it
//! answers, to make a database, to hear its version; `psql` need not be there.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// No message of an answer that we ask for is longer.
const MESSAGE: usize = 1 << 20;

/// Asks a server that trusts us and gives the first column of the first row.
///
/// # Errors
/// When it does not answer, or answers with an error: then with its words.
pub(super) async fn ask(socket: &Path, user: &str, database: &str, sql: &str) -> Result<Option<String>> {
    tokio::time::timeout(PATIENCE, conversation(socket, user, database, sql))
        .await
        .context("the server did not answer in time")?
}

async fn conversation(socket: &Path, user: &str, database: &str, sql: &str) -> Result<Option<String>> {
    let mut stream = UnixStream::connect(socket).await.context("the server cannot be reached")?;
    let mut hello = 196_608_i32.to_be_bytes().to_vec();
    for text in ["user", user, "database", database, ""] {
        hello.extend(text.as_bytes());
        hello.push(0);
    }
    stream.write_all(&framed(None, &hello)?).await?;
    ready(&mut stream).await?;
    let query = [sql.as_bytes(), b"\0"].concat();
    stream.write_all(&framed(Some(b'Q'), &query)?).await?;
    let answer = ready(&mut stream).await?;
    // Goodbye; it needs no answer.
    let _ = stream.write_all(&framed(Some(b'X'), &[])?).await;
    Ok(answer)
}

fn framed(kind: Option<u8>, body: &[u8]) -> Result<Vec<u8>> {
    let length = i32::try_from(body.len() + 4).context("the message is too long")?;
    let mut message: Vec<u8> = kind.into_iter().collect();
    message.extend(length.to_be_bytes());
    message.extend(body);
    Ok(message)
}

/// Reads until the server waits for the next question; gives the first column of the first row that came by.
async fn ready(stream: &mut UnixStream) -> Result<Option<String>> {
    let mut answer = None;
    loop {
        let kind = stream.read_u8().await.context("the server hung up")?;
        let length = usize::try_from(stream.read_i32().await?).unwrap_or(0);
        if !(4..=MESSAGE).contains(&length) {
            bail!("what answers is no PostgreSQL server");
        }
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body).await?;
        match kind {
            b'Z' => return Ok(answer),
            b'E' => bail!("{}", error_text(&body)),
            b'R' if body != [0, 0, 0, 0] => bail!("the server asks for a password"),
            b'D' if answer.is_none() => answer = first_column(&body),
            _ => {}
        }
    }
}

fn first_column(row: &[u8]) -> Option<String> {
    let length = i32::from_be_bytes(row.get(2..6)?.try_into().ok()?);
    let end = 6 + usize::try_from(length).ok()?;
    Some(String::from_utf8_lossy(row.get(6..end)?).into_owned())
}

/// The message among the fields of an error.
fn error_text(fields: &[u8]) -> String {
    fields.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"M")).map_or_else(
        || "an error without a message".into(),
        |text| String::from_utf8_lossy(text).into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_and_an_error_are_read_and_nonsense_is_survived() {
        assert_eq!(first_column(&[0, 1, 0, 0, 0, 2, b'1', b'5']), Some("15".into()));
        assert_eq!(first_column(&[0, 1, 255, 255, 255, 255]), None);
        assert_eq!(first_column(&[0, 1, 0, 0, 0, 9, b'1']), None);
        assert_eq!(error_text(b"SFATAL\0C3D000\0Mdatabase does not exist\0\0"), "database does not exist");
        assert_eq!(error_text(b""), "an error without a message");
    }
}
