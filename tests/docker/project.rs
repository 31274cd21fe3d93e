//! The same small Django project as the deployments of processes have, as an image: its commit runs well or badly by
//! its environment's variables alone.

use std::path::Path;

use super::engines;

#[path = "../deploy/project.rs"]
mod plain;

/// What follows the base image.
const DOCKERFILE: &str = "
RUN python3 -m venv /venv
ENV PATH=/venv/bin:$PATH
WORKDIR /app
COPY requirements.txt .
RUN pip install --quiet -r requirements.txt
COPY . .
";

/// Says 10 MB a second, as far as whoever reads it keeps up, and writes down how much that was.
const LOUD: &str = r#"
import os, sys, time

line = b"the same cup of tea once more " * 8 + b"\n"
part = line * (1_000_000 // len(line))
said = 0
while True:
    began = time.monotonic()
    sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
    said += len(part)
    with open(os.path.join(os.environ["STARTS"], "loud"), "w") as file:
        file.write(str(said))
    time.sleep(max(0, 0.1 - (time.monotonic() - began)))
"#;

/// What stands in `towpath.toml` before the environments. The world's directory is mounted where it is: the database
/// and what replicas write there is the same for every engine of this machine.
pub(crate) fn roles(root: &Path) -> String {
    let root = root.display();
    let volumes = format!("volumes = [\"{root}:{root}\"]\n");
    plain::roles(Path::new(""))
        .replace("[role.web]\n", &format!("[artifact]\nimage = \"{}\"\n\n[role.web]\n{volumes}", image()))
        .replace("[role.beat]\n", &format!("[role.beat]\n{volumes}"))
}

/// The image's name: no other test run's.
pub(crate) fn image() -> String {
    format!("towpath-test-{}", std::process::id())
}

/// Writes the project's files.
pub(crate) fn write(directory: &Path) {
    plain::write(directory);
    // In a container the router is not on the same machine.
    let web = directory.join("web.sh");
    let text = std::fs::read_to_string(&web).unwrap().replace("127.0.0.1:$PORT", "0.0.0.0:$PORT");
    let text = text.replace("exits)", "loud) python3 loud.py & ;;\nexits)");
    std::fs::write(directory.join("loud.py"), LOUD).unwrap();
    std::fs::write(web, text).unwrap();
    let settings = directory.join("site1/settings.py");
    let text =
        std::fs::read_to_string(&settings).unwrap().replace("[\"localhost\", \"127.0.0.1\"]", "[\"*\"]");
    std::fs::write(settings, text).unwrap();
    let base = engines::docker()
        .and_then(|url| engines::python_image(&url))
        .expect("a base image: it was asked for before");
    std::fs::write(directory.join("Dockerfile"), format!("FROM {base}{DOCKERFILE}")).unwrap();
    std::fs::write(directory.join(".dockerignore"), ".git\ntowpath.toml\n").unwrap();
}
