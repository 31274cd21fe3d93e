//! What carries certain labels on an engine, and its removal.

use std::collections::HashMap;

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder,
    ListVolumesOptionsBuilder, RemoveImageOptions, RemoveVolumeOptions,
};

use super::trouble::{Result, cause, status};
use super::{Engine, labels, run};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Containers' ids, running or not.
    pub containers: Vec<String>,
    /// Networks' ids.
    pub networks: Vec<String>,
    /// Volumes' names.
    pub volumes: Vec<String>,
    /// Images: each tag of one that has tags, else its id.
    pub images: Vec<String>,
}

impl Found {
    /// Whether it is nothing at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.containers.is_empty()
            && self.networks.is_empty()
            && self.volumes.is_empty()
            && self.images.is_empty()
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} containers, {} networks, {} volumes, {} names of images",
            self.containers.len(),
            self.networks.len(),
            self.volumes.len(),
            self.images.len()
        )
    }
}

/// The containers, networks and volumes that carry all of these labels (`NAME=VALUE`).
///
/// # Errors
/// When the engine does not say.
pub async fn found(engine: &Engine, labels: &[String]) -> Result<Found> {
    let client = engine.client();
    let filter = HashMap::from([("label", labels.to_vec())]);
    let what = "what is left on the engine could not be asked for";
    let failed = |error: &bollard::errors::Error| cause(engine.name(), what, error);
    let containers = ListContainersOptionsBuilder::default().all(true).filters(&filter).build();
    let containers = client.list_containers(Some(containers)).await.map_err(|error| failed(&error))?;
    let networks = ListNetworksOptionsBuilder::default().filters(&filter).build();
    let networks = client.list_networks(Some(networks)).await.map_err(|error| failed(&error))?;
    let volumes = ListVolumesOptionsBuilder::default().filters(&filter).build();
    let volumes = client.list_volumes(Some(volumes)).await.map_err(|error| failed(&error))?;
    Ok(Found {
        containers: containers.into_iter().filter_map(|container| container.id).collect(),
        networks: networks.into_iter().filter_map(|network| network.id).collect(),
        volumes: volumes.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect(),
        images: Vec::new(),
    })
}

/// Everything of a project: also its images, of every commit and of every layer on top of one.
///
/// # Errors
/// When the engine does not say.
pub async fn of_project(engine: &Engine, project: &str) -> Result<Found> {
    let label = [format!("{}={project}", labels::PROJECT)];
    let mut all = found(engine, &label).await?;
    let filter = HashMap::from([("label", label.to_vec())]);
    let images = ListImagesOptionsBuilder::default().filters(&filter).build();
    let images = engine.client().list_images(Some(images)).await;
    let images = images
        .map_err(|error| cause(engine.name(), "what is left on the engine could not be asked for", &error))?;
    all.images = images
        .into_iter()
        .flat_map(|image| if image.repo_tags.is_empty() { vec![image.id] } else { image.repo_tags })
        .collect();
    Ok(all)
}

/// Removes it: containers first, for they hold the rest. What is gone by then is well.
///
/// # Errors
/// When the engine keeps something.
pub async fn remove(engine: &Engine, found: &Found) -> Result<()> {
    let client = engine.client();
    let kept = |what: &str, error: &bollard::errors::Error| {
        Err(cause(engine.name(), &format!("{what} could not be removed"), error))
    };
    for id in &found.containers {
        run::remove(engine, id).await?;
    }
    for id in &found.networks {
        match client.remove_network(id).await {
            Err(error) if status(&error) != Some(404) => return kept("a network", &error),
            _ => {}
        }
    }
    for name in &found.volumes {
        match client.remove_volume(name, None::<RemoveVolumeOptions>).await {
            Err(error) if status(&error) != Some(404) => return kept("a volume", &error),
            _ => {}
        }
    }
    for name in &found.images {
        match client.remove_image(name, None::<RemoveImageOptions>, None).await {
            Err(error) if status(&error) != Some(404) => return kept(name, &error),
            _ => {}
        }
    }
    Ok(())
}
