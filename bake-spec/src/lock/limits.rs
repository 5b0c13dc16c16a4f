//! What checks need of a model that is not on this machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::config::{Config, Projection};

/// What a model has room for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The context, in tokens.
    pub context: usize,
    /// The number of blocks.
    pub layers: usize,
    /// The narrowest side of each linear layer, by its name: the most that a rank can be.
    pub narrowest: BTreeMap<String, usize>,
}

impl Limits {
    /// The limits of a model of this shape.
    pub fn of(config: &Config) -> Self {
        let narrowest = |projection: Projection| {
            let [rows, columns] = config.projection_shape(projection);
            (projection.name().to_owned(), rows.min(columns))
        };
        Self {
            context: config.context(),
            layers: config.layers(),
            narrowest: Projection::ALL.into_iter().map(narrowest).collect(),
        }
    }

    /// The highest rank that an adapter of these linear layers can have; of all layers if none are
    /// given.
    pub fn most_rank(&self, modules: &[impl AsRef<str>]) -> Option<usize> {
        let changed = |name: &str| modules.is_empty() || modules.iter().any(|m| m.as_ref() == name);
        self.narrowest.iter().filter(|(name, _)| changed(name)).map(|(_, side)| *side).min()
    }
}
