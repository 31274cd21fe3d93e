//! Putting the included file in its place, and making nginx read it. What fails leaves the old file behind.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::command::{self, Ended};
use super::text::{ClientKeepalive, Options, include_text};
use crate::domain::project::Nginx;
use crate::router::{Route, Trouble};

/// What a switch that went well has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The file, with links resolved.
    pub include: PathBuf,
    /// Whether the file has changed, and nginx was told to read it. Otherwise it was as wanted already, and read.
    pub changed: bool,
    /// What is worth a person's attention: a sentence each.
    pub warnings: Vec<String>,
}

/// Said where an nginx cannot keep idle connections over a reload.
const CLOSES: &str = "This nginx is older than 1.27.4 and has no keepalive_min_timeout: idle keep-alive connections may be \
     closed under a client at a switch (measured: up to 1 request in 100 around switches under load).";

/// Writes the route's text into the included file, has nginx test it, and has nginx read it. When the test or the
/// reload fails, the old file is put back. A file that has this text already is left, and nginx is not told,
/// unless a former attempt was cut off before nginx was.
///
/// Relative paths and both commands start from `cwd`. `say` gets what is done and what nginx says, sanitised.
///
/// # Errors
/// What is in the way, with its cure; the old file is there then, unless the summary says otherwise.
pub async fn apply(
    nginx: &Nginx,
    route: &Route,
    cwd: &Path,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<Applied, Trouble> {
    // A few small files: blocking is for moments only.
    let place = Place::find(nginx, cwd)?;
    let before = place.before()?;
    if !place.cut_off()
        && let Some(options) =
            Options::all().find(|options| before.as_deref() == Some(include_text(route, *options).as_bytes()))
    {
        say(&format!("{} is as wanted already; nginx need not read it again", place.path.display()));
        return Ok(Applied { include: place.path, changed: false, warnings: warnings(options) });
    }
    place.keep(before.as_deref())?;
    let outcome = replace(nginx, route, cwd, &place, say).await;
    match outcome {
        Ok(options) => {
            place.forget();
            Ok(Applied { include: place.path, changed: true, warnings: warnings(options) })
        }
        Err(mut trouble) => {
            match place.restore(before.is_some()) {
                Ok(()) if before.is_some() => say(&format!("the old {} is back", place.path.display())),
                Ok(()) => say(&format!("{} is removed again", place.path.display())),
                Err(error) => {
                    trouble.summary = format!(
                        "{}; the old {} could not be put back: {error}",
                        trouble.summary,
                        place.path.display()
                    );
                }
            }
            Err(trouble)
        }
    }
}

fn warnings(options: Options) -> Vec<String> {
    if options.client == ClientKeepalive::Unknown { vec![CLOSES.to_owned()] } else { Vec::new() }
}

async fn replace(
    nginx: &Nginx,
    route: &Route,
    cwd: &Path,
    place: &Place,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<Options, Trouble> {
    let mut options = Options::NEW;
    loop {
        place.write(include_text(route, options).as_bytes())?;
        say(&format!("wrote {}", place.path.display()));
        let ended = carry_out(nginx, &nginx.test, cwd, say).await?;
        if ended.well() {
            break;
        }
        // nginx itself says best what it can do, whichever of them the command reaches.
        options = milder(options, &ended).ok_or_else(|| refused(&nginx.test, &ended))?;
    }
    let ended = carry_out(nginx, &nginx.reload, cwd, say).await?;
    if ended.well() { Ok(options) } else { Err(not_read(&nginx.reload, &ended)) }
}

/// The options without what this nginx has refused; `None` when it refused something else.
fn milder(options: Options, ended: &Ended) -> Option<Options> {
    if options.client == ClientKeepalive::Ours && ended.says("unknown directive \"keepalive_min_timeout\"") {
        return Some(Options { client: ClientKeepalive::Unknown, ..options });
    }
    if options.client == ClientKeepalive::Ours
        && ended.says("\"keepalive_min_timeout\" directive is duplicate")
    {
        return Some(Options { client: ClientKeepalive::Theirs, ..options });
    }
    if options.close_to_replicas && ended.says("invalid value \"0\" in \"keepalive\"") {
        return Some(Options { close_to_replicas: false, ..options });
    }
    None
}

async fn carry_out(
    nginx: &Nginx,
    line: &str,
    cwd: &Path,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<Ended, Trouble> {
    let ended = match &nginx.container {
        None => {
            say(&format!("$ {line}"));
            command::run(line, cwd).await?
        }
        Some(container) => {
            say(&format!("$ {line}, inside of {container}"));
            command::run_inside(container, line, cwd).await?
        }
    };
    for line in &ended.lines {
        say(line);
    }
    if !ended.well() {
        say(&ended.how);
    }
    Ok(ended)
}

fn failed(summary: String, ended: &Ended, cure: String) -> Trouble {
    Trouble {
        summary,
        expected: "exit code 0".into(),
        measured: ended.how.clone(),
        last_lines: ended.lines.clone(),
        cure,
    }
}

/// What a command that does not work has in common, tested or reloaded.
fn unusable(line: &str, ended: &Ended) -> Option<Trouble> {
    if ended.code == Some(127) {
        let cure = "nginx is not installed, or not on PATH for whoever runs Towpath: write the command with its full path";
        return Some(failed(format!("`{line}`: the command was not found"), ended, cure.into()));
    }
    if ended.says("a password is required") || ended.says("a terminal is required") {
        let cure = format!(
            "sudo asks for a password here: allow exactly this command in sudoers with NOPASSWD, e.g. `deploy ALL=(root) NOPASSWD: {}`",
            line.trim_start_matches("sudo ").trim_start_matches("-n ")
        );
        return Some(failed(format!("`{line}` needs a password"), ended, cure));
    }
    if ended.code == Some(126) || ended.says("ermission denied") || ended.says("not permitted") {
        let cure = "run the command with `sudo -n` (and NOPASSWD for it in sudoers), or as the user whom nginx belongs to";
        return Some(failed(format!("`{line}`: permission denied"), ended, cure.into()));
    }
    if ended.says("No space left") {
        return Some(failed(
            format!("`{line}`: the disk is full"),
            ended,
            "free some space, then retry".into(),
        ));
    }
    ended.code.is_none().then(|| {
        let cure = "run it by hand: it must end by itself and ask for nothing".to_owned();
        failed(format!("`{line}` did not end by itself"), ended, cure)
    })
}

fn refused(line: &str, ended: &Ended) -> Trouble {
    unusable(line, ended).unwrap_or_else(|| {
        let cure = if ended.says("duplicate upstream") {
            "the included file is included twice, or another project and environment have names that differ in `-` only"
        } else if ended.says("worker_connections") || ended.says("events") {
            "the test command must read the whole configuration: nginx -t, with -c and -p as nginx was started"
        } else {
            "put right what nginx says; the traffic is where it was"
        };
        failed("nginx refuses the configuration".into(), ended, cure.into())
    })
}

fn not_read(line: &str, ended: &Ended) -> Trouble {
    // `invalid PID number ""` is what nginx says when its pid file is there and empty.
    let stopped = ended.says("No such file or directory")
        || ended.says("invalid PID number")
        || ended.says("No such process");
    unusable(line, ended).unwrap_or_else(|| {
        let cure = if stopped {
            "nginx does not run, or runs with another pid file than the command's: start it, then retry"
        } else {
            "put right what the command says; the old file is back"
        };
        failed("nginx could not be made to read the configuration".into(), ended, cure.into())
    })
}

/// Where the included file lies, and beside it what was there before, for as long as nginx has not read the new.
struct Place {
    path: PathBuf,
    beside: PathBuf,
    old: PathBuf,
}

impl Place {
    fn find(nginx: &Nginx, cwd: &Path) -> Result<Self, Trouble> {
        let named = cwd.join(&nginx.include);
        // A link is followed once, here: renaming would replace it.
        let path = fs::canonicalize(&named).unwrap_or_else(|_| named.clone());
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|_| !path.is_dir()) else {
            return Err(Trouble {
                summary: format!("{} is not a file that can be written", named.display()),
                expected: "the path of a file".into(),
                measured: "a directory".into(),
                cure: "give `include` the path of a file, e.g. /etc/nginx/towpath/harbor.conf".into(),
                ..Trouble::default()
            });
        };
        // Names with a dot in front are not matched by `include directory/*`.
        let beside = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
        let old = path.with_file_name(format!(".{name}.towpath-old"));
        Ok(Self { path, beside, old })
    }

    /// Whether a former attempt was cut off between writing the file and nginx reading it.
    fn cut_off(&self) -> bool {
        self.old.exists()
    }

    /// What nginx has read last; `None` when there was no file.
    fn before(&self) -> Result<Option<Vec<u8>>, Trouble> {
        let (path, empty_is_none) = if self.cut_off() { (&self.old, true) } else { (&self.path, false) };
        match fs::read(path) {
            Ok(bytes) if bytes.is_empty() && empty_is_none => Ok(None),
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(trouble(path, "read", &error)),
        }
    }

    /// Keeps what was there before, until nginx has read the new.
    fn keep(&self, before: Option<&[u8]>) -> Result<(), Trouble> {
        if self.cut_off() {
            return Ok(());
        }
        self.put(before.unwrap_or_default(), &self.old)
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Trouble> {
        self.put(bytes, &self.path)
    }

    /// Writes beside and renames: nginx sees the old text or the new. Readable for all, for nginx may be another
    /// user; there is no secret in it.
    fn put(&self, bytes: &[u8], at: &Path) -> Result<(), Trouble> {
        let written = (|| {
            // Left by a process of the same number that was killed; nobody else uses this name.
            let _ = fs::remove_file(&self.beside);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&self.beside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&self.beside, at)?;
            self.sync()
        })();
        written.map_err(|error| {
            let _ = fs::remove_file(&self.beside);
            trouble(&self.path, "written", &error)
        })
    }

    fn sync(&self) -> io::Result<()> {
        File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()
    }

    /// Nginx has read the new file.
    fn forget(&self) {
        // If it stays, the next attempt makes nginx read once more: nothing is lost.
        let _ = fs::remove_file(&self.old);
    }

    /// Puts back what was there. Renaming needs no room on a full disk.
    fn restore(&self, was_there: bool) -> io::Result<()> {
        if was_there {
            fs::rename(&self.old, &self.path)?;
        } else {
            match fs::remove_file(&self.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => fs::remove_file(&self.old)?,
            }
        }
        self.sync()
    }
}

fn trouble(path: &Path, doing: &str, error: &io::Error) -> Trouble {
    let directory = path.parent().unwrap_or(Path::new("/")).display();
    let cure = match error.kind() {
        ErrorKind::NotFound => format!("make {directory}, writable for whoever runs Towpath"),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            format!(
                "make {directory} writable for whoever runs Towpath: a new file is made there and renamed"
            )
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!("the disk that holds {directory} is full: free some space there, then retry")
        }
        _ => String::new(),
    };
    Trouble {
        summary: format!("{} could not be {doing}", path.display()),
        expected: format!("a directory {directory} that can be written"),
        measured: error.to_string(),
        cure,
        ..Trouble::default()
    }
}

#[cfg(test)]
mod tests;
