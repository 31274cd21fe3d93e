//! What a project means on Docker.

use super::tests::{everything, findings, names, needs, plain_requirements, refused, resolved, run, stage};
use crate::domain::project::{Host, Place, Ready, RuntimeKind, Service};
use crate::preset::tree::Memory;

const DOCKER: &str = "[artifact]\nruntime = \"docker\"\n";

fn with_dockerfile(mut tree: Memory) -> Memory {
    tree.0.insert("Dockerfile".into(), b"FROM python:3.12\n".to_vec());
    tree
}

/// The names of the containers beside a stage.
fn beside(resolved: &super::Resolved, name: &str) -> Vec<String> {
    let services = stage(resolved, name).services.iter().map(|service| match service {
        Service::Container(service) => format!("{}={}", service.name, service.image),
        Service::Postgres => "a server of this machine".to_owned(),
    });
    services.collect()
}

#[test]
fn a_django_project_keeps_its_stages_and_tests_in_containers() {
    let resolved = resolved(DOCKER, &with_dockerfile(everything()));
    let image = resolved.project.artifact.image.as_ref().unwrap();
    assert_eq!((image.name.as_str(), image.dockerfile.as_str(), image.push), ("harbor", "Dockerfile", false));
    assert_eq!(run(&resolved, "ruff").1, Place::Source);
    assert_eq!(run(&resolved, "test").1, Place::Candidate);
    assert_eq!(beside(&resolved, "test"), ["postgres=postgres:17"]);
    assert_eq!(beside(&resolved, "migrate-empty"), ["postgres=postgres:17"]);
    assert_eq!(stage(&resolved, "test").env["DATABASE_URL"], "postgres://postgres@postgres:5432/postgres");
    assert!(!resolved.project.artifact.collectstatic);
    assert!(resolved.project.services.contains_key("postgres"));
    let written = super::tests::resolved(
        "[artifact]\nimage = \"registry.example.com/shop\"\ncollectstatic = true\n[role.web]\ncommand = \"x --bind \
         127.0.0.1:$PORT\"\nport = 9000\nvolumes = [\"media:/app/media\"]\n[environment.a]\nurl = \"http://a\"\nrouter = { nginx = { include = \"/n\", \
         static_files = \"/s\" } }\n[environment.b]\nhosts = \
         [\"tcp://10.0.0.5:2375\"]\n",
        &with_dockerfile(everything()),
    );
    assert_eq!(written.project.artifact.runtime(), RuntimeKind::Docker);
    assert!(written.project.artifact.image.as_ref().unwrap().push);
    assert_eq!(
        findings(&written),
        ["ROLE-LOOPBACK:web", "IMAGE-STATIC:a", "HOST-OPEN:b:10.0.0.5", "IMAGE-COLLECTSTATIC"]
    );
    let role = &written.project.roles["web"];
    assert_eq!((role.port, role.volumes.as_slice()), (9000, ["media:/app/media".to_owned()].as_slice()));
    assert_eq!(written.project.environments[&"a".into()].hosts, [Host::usual()]);
}

#[test]
fn a_written_service_takes_the_place_of_the_usual_one() {
    let text = "[artifact]\nruntime = \"docker\"\nenv = { DATABASE_URL = \"sqlite://\", A = \"1\" }\n\
                [service.postgres]\nimage = \"postgis/postgis:17-3.5\"\nready = { postgres = \"postgres://a:b@postgres/c\" }\n\
                [service.cache]\nimage = \"redis:7\"\n[service.idle]\nimage = \"redis:7\"\n\
                [[stage]]\nname = \"e2e\"\nrun = \"x\"\nin = \"image:node:22\"\nservices = [\"cache\"]\n";
    let resolved = resolved(text, &with_dockerfile(everything()));
    assert_eq!(beside(&resolved, "test"), ["postgres=postgis/postgis:17-3.5"]);
    let env = &stage(&resolved, "test").env;
    assert_eq!((env["DATABASE_URL"].as_str(), env["A"].as_str()), ("postgres://a:b@postgres/c", "1"));
    assert_eq!(run(&resolved, "e2e").1, Place::Image("node:22".into()));
    assert_eq!(beside(&resolved, "e2e"), ["cache=redis:7"]);
    assert_eq!(resolved.project.services["cache"].ready, Ready::Image);
    assert_eq!(findings(&resolved), ["SERVICE-UNUSED:idle"]);
    // A cache is no database: nothing would be led past it.
    let other = super::tests::resolved(
        "[artifact]\nruntime = \"docker\"\nenv = { DATABASE_URL = \"mysql://db\" }\n[service.db]\nimage = \"mysql:8\"\n\
         [[stage]]\nname = \"check\"\nservices = [\"db\"]\n",
        &with_dockerfile(plain_requirements()),
    );
    assert_eq!(stage(&other, "check").env["DATABASE_URL"], "mysql://db");
}

#[test]
fn a_plain_project_is_its_image_and_its_roles() {
    let tree = Memory::from_iter([("Dockerfile", "FROM scratch\n")]);
    let text = "[project]\nkind = \"container\"\n[artifact]\nimage = \"shop\"\n[role.web]\ncommand = \"/serve\"\n\
                [[stage]]\nname = \"fmt\"\nrun = \"x\"\ngroup = \"lint\"\n[environment.a]\n";
    let resolved = resolved(text, &tree);
    assert_eq!(names(&resolved), ["fmt", "candidate"]);
    assert_eq!(needs(&resolved, "candidate"), ["fmt"]);
    assert_eq!(resolved.findings, []);
}

#[test]
fn what_has_no_container_is_said_with_its_place() {
    let django = with_dockerfile(everything());
    let cases = [
        (DOCKER, everything(), "2:11: there is no Dockerfile that the image could be built from."),
        (
            "[artifact]\nimage = \"a\"\ndockerfile = \"deploy/Dockerfile\"\n",
            django.clone(),
            "3:14: there is no deploy/Dockerfile",
        ),
        ("[artifact]\nruntime = \"docker\"\npush = true\n", django.clone(), "3:8: push has nowhere to go"),
        ("[artifact]\nruntime = \"process\"\nimage = \"a\"\n", django.clone(), "3:1: image is for images"),
        (
            "[artifact]\ntarget = \"a\"\n",
            django.clone(),
            "2:1: target is for images, and the runtime is process. Write",
        ),
        (
            "[service.cache]\nimage = \"redis\"\n",
            django.clone(),
            "1:10: the service \"cache\" is a container",
        ),
        ("[role.web]\ncommand = \"x\"\nport = 1\n", django.clone(), "3:8: port is for containers"),
        (
            "[role.web]\ncommand = \"x\"\nvolumes = [\"m1:/x\"]\n",
            django.clone(),
            "3:12: volumes are for containers",
        ),
        (
            "[role.web]\ncommand = \"x\"\n[environment.a]\nhosts = [\"default\"]\nnetwork = \"shop\"\n",
            django.clone(),
            "4:10: hosts is for containers",
        ),
        (
            "[[stage]]\nname = \"a\"\nrun = \"x\"\nin = \"image:redis\"\n",
            django.clone(),
            "4:6: a stage in an image needs containers",
        ),
        (
            "[[stage]]\nname = \"a\"\nrun = \"x\"\nservices = [\"redis\"]\n",
            django.clone(),
            "4:13: the service \"redis\" would be a container",
        ),
        (
            "[[stage]]\nname = \"test\"\nservices = [\"cahce\"]\n[artifact]\nruntime = \"docker\"\n[service.cache]\nimage = \
             \"redis\"\n",
            django.clone(),
            "3:13: there is no service \"cahce\". Did you mean \"cache\"?",
        ),
        (
            "[[stage]]\nname = \"test\"\nservices = [\"search\"]\n[artifact]\nruntime = \"docker\"\n",
            django.clone(),
            "3:13: there is no service \"search\". Add [service.search]",
        ),
        (
            "[[stage]]\nname = \"a\"\nrun = \"x\"\nservices = [\"cache\"]\n[artifact]\nruntime = \"docker\"\n\
             [service.cache]\nimage = \"redis\"\n",
            django,
            "4:13: the stage \"a\" runs on the host",
        ),
    ];
    for (text, tree, expected) in cases {
        let said = refused(text, &tree);
        assert!(said.contains(&format!("towpath.toml:{expected}")), "{text}: {said}");
    }
}
