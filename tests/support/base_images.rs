//! Base images without a registry: a small Debian with Python or with PostgreSQL, made once by `mmdebstrap`, and an
//! empty one. What was made lies as an archive in a directory beside the target directory's others, and is loaded into
//! every engine that wants it, so that an image has one id wherever it is.
//!
//! They stay on the engine afterwards, like what lies in the target directory: a tag says which recipe made it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use bollard::Docker;
use bollard::query_parameters::ImportImageOptionsBuilder;
use futures_util::StreamExt as _;
use towpath::demo::base::{self, Recipe};

use super::{client, on_path, skip, wait};

/// Python 3 with pip and venv; pip takes from where this machine's takes. Its name on the engine at `url`;
/// `None` after saying loudly that the test is skipped.
pub(crate) fn python_image(url: &str) -> Option<String> {
    made(url, &Recipe::python())
}

/// PostgreSQL, started by `POSTGRES_PASSWORD` alone, as the well-known image is. Otherwise like [`python_image`].
pub(crate) fn postgres_image(url: &str) -> Option<String> {
    made(url, &Recipe::postgres())
}

/// An image with nothing in it: no shell either.
pub(crate) fn empty_image(url: &str) -> String {
    let name = "towpath-test-empty:1";
    wait(async {
        let client = client(url);
        if client.inspect_image(name).await.is_err() {
            // An archive ends with two empty blocks; this one begins with them.
            let archive = tempfile::NamedTempFile::new().unwrap();
            fs::write(archive.path(), [0; 1024]).unwrap();
            base::import(&client, name, &[], archive.path()).await.unwrap();
        }
    });
    name.to_owned()
}

fn made(url: &str, recipe: &Recipe) -> Option<String> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let name = recipe.image();
    let plain = name.replace(':', "-");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("base-images");
    fs::create_dir_all(&directory).unwrap();
    // Other test programs may be making it.
    let lock = File::create(directory.join(format!("{plain}.lock"))).unwrap();
    lock.lock().unwrap();
    let archive = directory.join(format!("{plain}.tar"));
    let is_there = |url: &str| wait(async { client(url).inspect_image(&name).await.is_ok() });
    if is_there(url) {
        return Some(name);
    }
    if !archive.exists() {
        // Where the machine's engine has it, it is the same image.
        let from = super::usual().filter(|usual| is_there(usual)).unwrap_or_else(|| url.to_owned());
        if !is_there(&from) && !make(&from, recipe, &directory) {
            return None;
        }
        wait(save(&client(&from), &name, &archive));
    }
    if !is_there(url) {
        wait(load(&client(url), &archive));
    }
    assert!(is_there(url), "{} does not hold {name}", archive.display());
    Some(name)
}

/// Makes the image on this engine; says so loudly when `mmdebstrap` is missing.
fn make(url: &str, recipe: &Recipe, directory: &Path) -> bool {
    if !on_path("mmdebstrap") {
        skip("no base images: `mmdebstrap` is not installed");
        return false;
    }
    wait(async { recipe.make(&client(url), directory).await }).unwrap();
    true
}

async fn save(client: &Docker, name: &str, path: &Path) {
    let beside = path.with_extension("part");
    let mut file = File::create(&beside).unwrap();
    let mut pieces = std::pin::pin!(client.export_image(name));
    while let Some(piece) = pieces.next().await {
        file.write_all(&piece.unwrap()).unwrap();
    }
    fs::rename(beside, path).unwrap();
}

async fn load(client: &Docker, path: &Path) {
    let body = bollard::body_try_stream(futures_util::stream::iter(base::pieces(path).unwrap()));
    let options = ImportImageOptionsBuilder::new().quiet(true).build();
    let mut answers = std::pin::pin!(client.import_image(options, body, None));
    while let Some(answer) = answers.next().await {
        answer.unwrap_or_else(|error| panic!("{} could not be loaded: {error}", path.display()));
    }
}
