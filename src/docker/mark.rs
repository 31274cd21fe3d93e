//! What an attempt has on an engine: a network of its own, volumes, containers, all under one mark that was written
//! down before the first of them was made.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{NetworkCreateRequest, VolumeCreateRequest};
use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptionsBuilder};

use super::trouble::{Result, cause, status};
use super::{Engine, found, labels};

/// A random number, written down by whoever makes something before it is made. Two machines may use one engine and
/// have attempts' directories of the same name: the mark tells them apart.
pub const MARK: &str = "towpath.mark";

/// Makes a network; that it is there already is well.
///
/// # Errors
/// When the engine refuses.
pub async fn network(engine: &Engine, name: &str, labels: &BTreeMap<String, String>) -> Result<()> {
    let wanted = NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        labels: Some(labels.clone().into_iter().collect()),
        ..NetworkCreateRequest::default()
    };
    match engine.client().create_network(wanted).await {
        Err(error) if status(&error) != Some(409) => {
            let mut failed = cause(engine.name(), "the step's network could not be made", &error);
            failed.expected = "a network for the step and its services".to_owned();
            failed.cure = "An engine has a bounded number of networks: remove what nobody uses (docker network prune), \
                           then retry."
                .to_owned();
            Err(failed)
        }
        _ => Ok(()),
    }
}

/// Makes a volume; that it is there already is well.
///
/// # Errors
/// When the engine refuses.
pub async fn volume(engine: &Engine, name: &str, labels: &BTreeMap<String, String>) -> Result<()> {
    let wanted = VolumeCreateRequest {
        name: Some(name.to_owned()),
        labels: Some(labels.clone().into_iter().collect()),
        ..VolumeCreateRequest::default()
    };
    let made = engine.client().create_volume(wanted).await;
    made.map(|_| ()).map_err(|error| cause(engine.name(), "a volume could not be made", &error))
}

/// Removes everything that carries this mark of this attempt: containers first, then networks, volumes, and the images
/// of its containers. Harmless when nothing is left.
///
/// # Errors
/// When the engine does not say what is there, or keeps something.
pub async fn remove_all(engine: &Engine, attempt: &str, mark: &str) -> Result<()> {
    let labels = [format!("{}={attempt}", labels::ATTEMPT), format!("{MARK}={mark}")];
    let found = found::found(engine, &labels).await?;
    found::remove(engine, &found).await?;
    remove_images(engine, HashMap::from([("label", labels.to_vec())])).await
}

/// Images of an attempt's containers; what else was made from one of them (a candidate, a layer) stays.
async fn remove_images(engine: &Engine, mut filter: HashMap<&str, Vec<String>>) -> Result<()> {
    let client = engine.client();
    let step = format!("{}={}", labels::KIND, labels::Kind::Step.word());
    filter.entry("label").or_default().push(step);
    let images = ListImagesOptionsBuilder::default().filters(&filter).build();
    let images = client.list_images(Some(images)).await.map_err(|error| {
        cause(engine.name(), "the images that a step has left could not be asked for", &error)
    })?;
    for image in images {
        let options = RemoveImageOptionsBuilder::default().force(true).build();
        match client.remove_image(&image.id, Some(options), None).await {
            Err(error) if status(&error) != Some(404) => {
                return Err(cause(
                    engine.name(),
                    "the image of a step's container could not be removed",
                    &error,
                ));
            }
            _ => {}
        }
    }
    Ok(())
}
