//! The tests' own engines and images do what the tests take for granted.

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
    WaitContainerOptions,
};
use futures_util::StreamExt as _;

use super::engines::{self, Dockerd};

/// Runs a container to its end and gives back what it said.
async fn said(client: &bollard::Docker, image: &str, command: &[&str]) -> String {
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(command.iter().map(|&word| word.to_owned()).collect()),
        host_config: Some(HostConfig::default()),
        ..ContainerCreateBody::default()
    };
    let name = format!("towpath-test-{}-{}", std::process::id(), uuid());
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    client.create_container(Some(options), body).await.unwrap();
    client.start_container(&name, None::<StartContainerOptions>).await.unwrap();
    let _ = client.wait_container(&name, None::<WaitContainerOptions>).next().await;
    let logs = LogsOptionsBuilder::new().stdout(true).stderr(true).build();
    let text = client.logs(&name, Some(logs)).map(|line| line.unwrap().to_string()).collect::<String>().await;
    client
        .remove_container(&name, Some(RemoveContainerOptionsBuilder::new().force(true).build()))
        .await
        .unwrap();
    text
}

fn uuid() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
}

#[test]
fn two_engines_of_our_own_run_beside_the_machines_and_leave_nothing() {
    let Some(usual) = engines::docker() else { return };
    let Some(one) = Dockerd::start() else { return };
    let Some(mut two) = Dockerd::start() else { return };
    assert_ne!(one.address(), two.address());
    let Some(image) = engines::python_image(&one.url()) else { return };
    assert_eq!(engines::python_image(&two.url()), Some(image.clone()));
    let id = |url: &str| {
        engines::wait(async { engines::client(url).inspect_image(&image).await.unwrap().id.unwrap() })
    };
    assert_eq!(id(&one.url()), id(&two.url()));
    two.restart();
    two.kill();
    two.again();
    for dockerd in [&one, &two] {
        let text = engines::wait(async {
            said(&dockerd.client(), &image, &["python3", "-c", "import ssl; print('from', 'inside')"]).await
        });
        assert_eq!(text, "from inside\n");
    }
    let marks: Vec<String> = [&one, &two].map(Dockerd::url).to_vec();
    drop((one, two));
    for url in marks {
        let directory =
            std::path::Path::new(url.strip_prefix("unix://").unwrap()).parent().unwrap().to_owned();
        assert!(!directory.exists());
        let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(
            !std::path::Path::new("/sys/class/net").join(&name).exists(),
            "the bridge {name} is still there"
        );
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(directory.to_str().unwrap()));
    }
    assert_eq!(engines::empty_image(&usual), "towpath-test-empty:1");
}
