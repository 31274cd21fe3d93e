//! An image on its way to a host: streamed from engine to engine, or through a registry by digest. Afterwards it is the
//! image that was tested, by its id, under the name that it was built with, or nothing is.
//!
//! | file | is |
//! |---|---|
//! | [`stream`] | `save` of one engine straight into `load` of another |
//! | [`registry`] | push and pull, by digest |

pub mod registry;
pub mod stream;

use super::connect::Engine;
use super::tags;
use super::trouble::Result;
use crate::domain::plan::Cause;

/// The image that a host is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its id, as it was tested.
    pub id: String,
    /// Its name: `NAME:SHA`.
    pub location: String,
}

/// How far a transfer is: bytes that went, of how many; 0 where the engine does not say.
pub type Progress<'a> = &'a mut (dyn FnMut(u64, u64) + Send);

impl Wanted {
    /// Whether an engine has it, under its name. Where it has it without the name, it is given.
    ///
    /// # Errors
    /// That the name is another image's there.
    pub async fn is_at(&self, engine: &Engine) -> Result<bool> {
        if tags::stands(engine, &self.id, &self.location).await? {
            return Ok(true);
        }
        if tags::find(engine, &self.id).await?.is_none() {
            return Ok(false);
        }
        tags::tag(engine, &self.id, &self.location).await?;
        Ok(true)
    }

    /// What has come is what was sent for: only then it gets its name.
    async fn arrived(&self, engine: &Engine, how: &str) -> Result<()> {
        if tags::find(engine, &self.id).await?.is_none() {
            return Err(Box::new(self.another(engine, how)));
        }
        tags::tag(engine, &self.id, &self.location).await
    }

    fn another(&self, engine: &Engine, how: &str) -> Cause {
        Cause {
            summary: format!("what came to {} is not the image that was tested", engine.name()),
            expected: self.id.clone(),
            measured: how.to_owned(),
            cure: "Nothing is started from it. Somebody changed it on the way, or the two engines number images \
                   differently: of two engines, both or neither must use the containerd image store (`docker info`, \
                   Storage Driver)."
                .to_owned(),
            ..Cause::default()
        }
    }
}
