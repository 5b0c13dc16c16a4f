//! The adapter that training starts from.

use bake_spec::recipe::Lora;
use bake_spec::{Config, KeyHasher, Projection};
use candle_core::{DType, Device, Tensor};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{Adapter, LowRank, layer_name, shapes};
use crate::error::{Error, ErrorKind, Result};

/// An adapter that changes nothing yet: A is drawn uniformly from ±1/√inputs, as PEFT does (Kaiming
/// with a = √5), and B is zero.
pub(crate) fn initial(config: &Config, lora: &Lora, seed: u64, device: &Device) -> Result<Adapter> {
    let projections = projections(lora)?;
    let layers = match lora.layers {
        Some((start, end)) if start < end && end <= config.layers() => start..end,
        Some((start, end)) => {
            return Err(Error::new(
                ErrorKind::Recipe,
                format!(
                    "`layers {start}..{end}` are not blocks of a model with {}",
                    config.layers()
                ),
            ));
        }
        None => 0..config.layers(),
    };
    let mut adapter = Adapter::empty(config.layers());
    for layer in layers {
        for &projection in &projections {
            let (a_shape, b_shape) = shapes(config, projection, lora.rank);
            if lora.rank == 0 || lora.rank > a_shape[1].min(b_shape[0]) {
                let message = format!(
                    "rank {} is not between 1 and {}, the smaller side of `{}`",
                    lora.rank,
                    a_shape[1].min(b_shape[0]),
                    projection.name()
                );
                return Err(Error::new(ErrorKind::Recipe, message));
            }
            let name = layer_name(layer, projection);
            let key = KeyHasher::new("lora-initial", 1)
                .field("seed", &seed)
                .field("layer", &name)
                .finish();
            let mut rng = ChaCha8Rng::from_seed(*key.as_bytes());
            let bound = 1.0 / (a_shape[1] as f32).sqrt();
            let data: Vec<f32> =
                (0..a_shape[0] * a_shape[1]).map(|_| rng.random_range(-bound..bound)).collect();
            let (a, b) = (
                Tensor::from_vec(data, &a_shape[..], device)?,
                Tensor::zeros(&b_shape[..], DType::F32, device)?,
            );
            adapter.set(layer, projection, LowRank { a, b, scale: lora.alpha / lora.rank as f64 });
        }
    }
    Ok(adapter)
}

/// The projections that a recipe names, in the order of a block.
fn projections(lora: &Lora) -> Result<Vec<Projection>> {
    if let Some(unknown) = lora.modules.iter().find(|name| Projection::from_name(name).is_none()) {
        let known = Projection::ALL.map(Projection::name).join(", ");
        return Err(Error::new(
            ErrorKind::Recipe,
            format!("`{unknown}` is not a linear layer of the model; it has {known}"),
        ));
    }
    let wanted = |p: &Projection| {
        lora.modules.is_empty() || lora.modules.iter().any(|name| name == p.name())
    };
    Ok(Projection::ALL.into_iter().filter(wanted).collect())
}
