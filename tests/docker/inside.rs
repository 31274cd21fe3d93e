//! nginx in a container: its commands are run inside of it, the included file is mounted there.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters as query;
use towpath::domain::ids::{DeploymentId, ReleaseNumber};
use towpath::domain::project::Nginx;
use towpath::router::nginx::apply;
use towpath::router::{Member, Route, Share};

use super::engines;
use super::three::remove_all;

const LABEL: &str = "towpath.test.inside";

/// Takes the container away, also when the test panics.
struct Inside(String, String);

impl Drop for Inside {
    fn drop(&mut self) {
        let (url, mark) = (self.0.clone(), self.1.clone());
        engines::wait(async { remove_all(&engines::client(&url), &format!("{LABEL}={mark}")).await });
    }
}

/// A shell script that stands for nginx: what it is asked, and whether the file that it is to read is there, are what is
/// tried; the real nginx is tried elsewhere, as a process.
const STAND_IN: &str = r#"#!/bin/sh
echo "$@" >> "$0.asked"
grep -q 'upstream' "$INCLUDE" || { echo 'nginx: [emerg] no upstream' >&2; exit 1; }
"#;

#[test]
fn its_commands_are_run_inside_of_its_container() {
    let Some(url) = engines::docker() else { return };
    let Some(image) = engines::python_image(&url) else { return };
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let program = root.join("nginx");
    std::fs::write(&program, STAND_IN).unwrap();
    let mark = std::process::id().to_string();
    let name = format!("towpath-test-edge-{mark}");
    let _inside = Inside(url.clone(), mark.clone());
    let include = root.join("towpath.conf");
    let body = ContainerCreateBody {
        image: Some(image),
        cmd: Some(["sleep", "600"].map(ToOwned::to_owned).to_vec()),
        env: Some(vec![format!("INCLUDE={}", include.display())]),
        labels: Some(HashMap::from([(LABEL.to_owned(), mark)])),
        host_config: Some(HostConfig {
            binds: Some(vec![format!("{0}:{0}", root.display())]),
            init: Some(true),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    engines::wait(async {
        let client = engines::client(&url);
        let options = query::CreateContainerOptionsBuilder::new().name(&name).build();
        client.create_container(Some(options), body).await.unwrap();
        client.start_container(&name, None::<query::StartContainerOptions>).await.unwrap();
    });
    let nginx = Nginx {
        include: include.display().to_string(),
        container: Some(name.clone()),
        test: format!("sh {} -t", program.display()),
        reload: format!("sh {} -s reload", program.display()),
        access_log: None,
        static_files: None,
    };
    let member = Member {
        deployment: DeploymentId(7),
        release: ReleaseNumber(3),
        host: std::net::Ipv4Addr::new(10, 0, 0, 5).into(),
        port: 20_000,
    };
    let share = Share { members: vec![member], weight: 100 };
    let route = Route { project: "shop".into(), environment: "production".into(), shares: vec![share] };
    let mut said = Vec::new();
    let applied = engines::wait(async {
        apply(&nginx, &route, &root, &mut |line| said.push(line.to_owned())).await.unwrap()
    });
    assert!(applied.changed);
    let asked = std::fs::read_to_string(root.join("nginx.asked")).unwrap();
    assert_eq!(asked, "-t\n-s reload\n", "{said:?}");
    // One that is not there: the old file is put back, and it is said which container is missing.
    let gone = Nginx { container: Some(format!("{name}-gone")), ..nginx };
    let other = Route { shares: Vec::new(), ..route };
    let before = std::fs::read_to_string(&include).unwrap();
    let trouble = engines::wait(async { apply(&gone, &other, &root, &mut |_| {}).await.unwrap_err() });
    assert!(trouble.expected.contains(&format!("{name}-gone")), "{trouble:?}");
    assert_eq!(std::fs::read_to_string(&include).unwrap(), before);
}
