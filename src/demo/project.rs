//! What ties the shop to this machine: its environments in `towpath.toml`, nginx's sites, secrets.

use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::repository::cannot;
use super::services::{self, Account, DATABASE, DATABASE_USER, Kind};
use super::stack::Stack;
use super::{ENVIRONMENTS, Place, on_docker};
use crate::cli::failure::{Failure, Sort};
use crate::config::FILE_NAME;
use crate::domain::plan::hex;
use crate::router::Route;
use crate::router::nginx::{Names, Options, include_text};

/// The project's name, as the shop's `towpath.toml` has it.
pub const NAME: &str = "saltmarsh-shop";

/// A command line for nginx with its own configuration, but for what it is to do.
#[must_use]
pub fn nginx(data: &Path, stack: &Stack) -> String {
    let (program, data) = (stack.nginx.display(), data.display());
    format!("{program} -e stderr -p {data} -c {data}/nginx.conf")
}

/// The file that Towpath writes and the site includes.
fn include(place: &Place, environment: &str) -> PathBuf {
    services::data(place, environment, Kind::Nginx).join("towpath.conf")
}

fn access_log(place: &Place, environment: &str) -> PathBuf {
    services::data(place, environment, Kind::Nginx).join("access.log")
}

/// The shop's `towpath.toml` of a commit, with what belongs to this machine. `python` is the interpreter that this
/// machine has for it, e.g. `3.12`; an image has its own, but what needs no candidate runs here.
#[must_use]
pub fn configuration(place: &Place, text: &str, roles: &str, python: &str, environments: &str) -> String {
    let text = text.replacen("[project]\n", &format!("[project]\npython = \"{python}\"\n"), 1);
    let Some(on) = place.docker() else {
        return format!("{text}\n{roles}\n{environments}");
    };
    let named = format!("name = \"{}\"", on.project);
    let image = format!(
        "[artifact]\nimage = \"{}\"\nargs = {{ BASE = \"{}\", OWNER = \"{}\" }}\n",
        on.project,
        on.images.python,
        on_docker::owner()
    );
    let text = text.replacen(&format!("name = \"{NAME}\""), &named, 1).replacen("[artifact]\n", &image, 1);
    // Each has a network of its own, where the loopback is its own too; the shell is nobody's parent there.
    let roles =
        roles.replace("127.0.0.1:$PORT", "0.0.0.0:$PORT").replace("\ncommand = \"exec ", "\ncommand = \"");
    let volumes = format!("\nvolumes = [\"{}:{}\"]\ncommand", place.starts().display(), on_docker::STARTS);
    let roles = roles.replace("\ncommand", &volumes);
    // Trusting is enough for a database that lives as long as a step, on a network of the step's own.
    let service = format!(
        "[service.postgres]\nimage = \"{}\"\nenv = {{ POSTGRES_HOST_AUTH_METHOD = \"trust\" }}\n\
         ready = {{ postgres = \"postgres://postgres@postgres:5432/postgres\" }}\n",
        on.images.postgres
    );
    format!("{text}\n{service}\n{roles}\n{environments}")
}

/// The environments of this machine, as `towpath.toml` has them.
///
/// # Errors
/// When the demo has no ports.
pub fn environments(place: &Place, stack: &Stack) -> Result<String, Failure> {
    let mut text = String::from("# Where releases go: this machine, as `towpath demo` has set it up.\n");
    for environment in ENVIRONMENTS {
        let url = place.url(environment)?;
        let its_own = match environment {
            "production" => {
                "after = \"staging\"\nprotected = true\nstrategy = \"blue-green\"\nbake = \"10s\"\nreplicas = { web = 2, worker = 1, \
                 beat = 1 }\ntolerance = { failed = \"1%\", min_requests = 50 }\n"
            }
            _ => "strategy = \"rolling\"\nbake = \"2s\"\nreplicas = { web = 1, worker = 1, beat = 1 }\n",
        };
        let nginx = nginx(&services::data(place, environment, Kind::Nginx), stack);
        let _ = write!(
            text,
            "\n[environment.{environment}]\n{its_own}url = \"{url}\"\n\
             health = {{ path = \"/health\", status = 200, within = \"5s\", interval = \"1s\", start = \"2m\" }}\n\
             \n[environment.{environment}.env]\nALLOWED_HOSTS = \"127.0.0.1\"\nTLS = \"off\"\nSHOP_START_LOG = \"{starts}\"\n\
             \n[environment.{environment}.secrets]\n",
            starts = match place.docker() {
                Some(_) => format!("{}/{environment}.log", on_docker::STARTS),
                None => place.start_log(environment).display().to_string(),
            },
        );
        for name in ["SECRET_KEY", "DATABASE_URL", "CELERY_BROKER_URL"] {
            let _ = writeln!(text, "{name} = {{ file = \"{}\" }}", place.secret(environment, name).display());
        }
        let _ = write!(
            text,
            "\n[environment.{environment}.router.nginx]\ninclude = \"{}\"\ntest = \"{nginx} -t\"\nreload = \"{nginx} -s reload\"\n\
             access_log = \"{}\"\n",
            include(place, environment).display(),
            access_log(place, environment).display(),
        );
        // In an image they are its own.
        if place.docker().is_none() {
            let _ = writeln!(text, "static_files = \"{}\"", place.static_files(environment).display());
        }
    }
    Ok(text)
}

/// Writes another strategy for an environment into the working tree's `towpath.toml`, as an operator would: its line,
/// and nothing else.
///
/// # Errors
/// When the file cannot be read or written, or has no such line.
pub fn set_strategy(place: &Place, environment: &str, strategy: &str) -> Result<(), Failure> {
    let path = place.shop().join(FILE_NAME);
    let text = std::fs::read_to_string(&path).map_err(|error| cannot(&path, &error))?;
    let Some(text) = with_strategy(&text, environment, strategy) else {
        return Err(Failure::new(
            Sort::Unclear,
            format!("[environment.{environment}] of {} has no line `strategy = …`.", path.display()),
            "Somebody changed it. `towpath demo --clean` takes the demo away.",
        ));
    };
    std::fs::write(&path, text).map_err(|error| cannot(&path, &error))
}

fn with_strategy(text: &str, environment: &str, strategy: &str) -> Option<String> {
    let header = format!("[environment.{environment}]");
    let mut inside = false;
    let mut found = false;
    let mut changed = String::with_capacity(text.len());
    for line in text.lines() {
        if line.starts_with('[') {
            inside = line.trim() == header;
        }
        if inside && line.starts_with("strategy = ") {
            found = true;
            let _ = writeln!(changed, "strategy = {strategy}");
        } else {
            let _ = writeln!(changed, "{line}");
        }
    }
    found.then_some(changed)
}

/// Writes nginx's configuration and what it includes, where that is not there yet.
pub(super) fn write_site(place: &Place, stack: &Stack, environment: &str) -> Result<(), Failure> {
    let data = services::data(place, environment, Kind::Nginx);
    if place.docker().is_none() {
        let static_files = place.static_files(environment);
        std::fs::create_dir_all(&static_files).map_err(|error| cannot(&static_files, &error))?;
    }
    let include = include(place, environment);
    if !include.exists() {
        // Before the first deployment nobody takes the traffic: 502.
        let nobody = Route {
            project: place.project().to_owned(),
            environment: environment.to_owned(),
            shares: Vec::new(),
        };
        let text = include_text(&nobody, Options::NEW);
        std::fs::write(&include, text).map_err(|error| cannot(&include, &error))?;
    }
    let path = data.join("nginx.conf");
    let text = site(place, environment)?;
    std::fs::write(&path, text).map_err(|error| cannot(&path, &error))?;
    let tested =
        std::process::Command::new("/bin/sh").arg("-c").arg(format!("{} -t", nginx(&data, stack))).output();
    let said = match tested {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Failure::new(Sort::Unclear, format!("nginx does not take {}: {said}", path.display()), ""))
}

/// The site; the same words as `assets/nginx/site.conf.example`, with an nginx of its own around it.
fn site(place: &Place, environment: &str) -> Result<String, Failure> {
    let data = services::data(place, environment, Kind::Nginx);
    let names = Names::of(place.project(), environment);
    let user = match Account::choose()? {
        Some(account) => format!("user {} {};\n", account.name, account.group),
        None => String::new(),
    };
    let static_files = match place.docker() {
        // In an image they are the shop's own to serve. While two releases run, one has files that the other has not.
        Some(_) => format!(
            r"        location /static/ {{
            proxy_pass http://{};
            proxy_http_version 1.1;
            proxy_set_header Connection close;
            proxy_set_header Host $host;
            proxy_next_upstream error http_404;
            proxy_connect_timeout 2s;
            access_log off;
        }}

",
            names.route
        ),
        None => format!(
            r"        location /static/ {{
            alias {}/;
            access_log off;
            expires max;
            location ~ /\. {{ return 404; }}
        }}

",
            place.static_files(environment).display()
        ),
    };
    Ok(format!(
        r#"{user}worker_processes 2;
pid {data}/nginx.pid;
error_log stderr warn;
events {{
    worker_connections 512;
}}
http {{
    types {{
        text/html html;
        text/css css;
        text/javascript js;
        image/svg+xml svg;
    }}
    default_type application/octet-stream;
    client_body_temp_path {data}/temp/body;
    proxy_temp_path {data}/temp/proxy;
    fastcgi_temp_path {data}/temp/fastcgi;
    uwsgi_temp_path {data}/temp/uwsgi;
    scgi_temp_path {data}/temp/scgi;
    keepalive_requests 100000;

    include {include};

    server {{
        listen 127.0.0.1:{port};
        access_log {access_log} {route};

{static_files}        location / {{
            proxy_pass http://{route};
            add_header X-Towpath-Deployment ${route} always;
            proxy_http_version 1.1;
            proxy_set_header Connection close;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_next_upstream error;
            proxy_next_upstream_tries 2;
            proxy_connect_timeout 2s;
            proxy_read_timeout 60s;
        }}
    }}
}}
"#,
        data = data.display(),
        include = include(place, environment).display(),
        port = place.ports(environment)?.nginx,
        access_log = access_log(place, environment).display(),
        route = names.route,
    ))
}

/// Makes the secrets that are not there yet; each is a file of its own (0600).
///
/// # Errors
/// When they can't be written.
pub fn write_secrets(place: &Place) -> Result<(), Failure> {
    let directory = place.root().join("secrets");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)
        .map_err(|error| cannot(&directory, &error))?;
    for environment in ENVIRONMENTS {
        let ports = place.ports(environment)?;
        let (postgres, valkey) =
            (password(place, environment, "postgres")?, password(place, environment, "valkey")?);
        // Where the shop's processes reach this machine.
        let address = place.address();
        let values = [
            ("SECRET_KEY", format!("{}{}", random()?, random()?)),
            (
                "DATABASE_URL",
                format!("postgres://{DATABASE_USER}:{postgres}@{address}:{}/{DATABASE}", ports.postgres),
            ),
            ("CELERY_BROKER_URL", format!("redis://:{valkey}@{address}:{}/0", ports.valkey)),
        ];
        for (name, value) in values {
            let path = place.secret(environment, name);
            if !path.exists() {
                write_private(&path, &value)?;
            }
        }
    }
    Ok(())
}

/// A service's password: made once, kept in a file (0600).
pub(super) fn password(place: &Place, environment: &str, service: &str) -> Result<String, Failure> {
    let path = place.secret(environment, &format!("{service}.password"));
    if !path.exists() {
        write_private(&path, &random()?)?;
    }
    std::fs::read_to_string(&path).map_err(|error| cannot(&path, &error))
}

/// Writes a file that only we may read.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| cannot(path, &error))
}

/// 192 bits of the system's randomness, as digits that are harmless everywhere.
pub(super) fn random() -> Result<String, Failure> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 24];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut bytes)).map_err(|error| {
        Failure::new(Sort::Unclear, format!("{} cannot be read: {error}.", path.display()), "")
    })?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_strategy_of_the_environment_that_is_meant_changes() {
        let text = "[environment.staging]\nstrategy = \"rolling\"\n\n[environment.production]\nbake = \"1s\"\nstrategy = \"x\"\n\n[environment.production.env]\nA = \"b\"\n";
        let changed = with_strategy(text, "production", "{ canary = [10, 50], bake = \"5s\" }").unwrap();
        assert_eq!(changed, text.replace("\"x\"", "{ canary = [10, 50], bake = \"5s\" }"));
        assert_eq!(with_strategy(text, "elsewhere", "\"rolling\""), None);
    }
}
