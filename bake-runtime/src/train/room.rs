//! What the memory that a training may take is used for.

use crate::device::Device;
use crate::error::Result;
use crate::model::Model;
use crate::tensor::matrix::bf16::Bf16Unit;
use crate::tensor::weight::WIDE_BYTES;

/// The memory for activations and for copies of the frozen weights in the order in which they are
/// multiplied.
///
/// A model whose products are in bf16 has such copies where they leave half of the room for
/// activations; the bits of the result do not depend on it. A small model in f32 always has them,
/// and they take no room: how far it is from the teacher is still computed in f32, as is what it
/// answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TrainingRoom {
    /// What multiplies the frozen weights from their copies; none where there are none.
    unit: Option<Bf16Unit>,
    /// Bytes for the copies, and for activations.
    pub(crate) packed: usize,
    pub(crate) activations: usize,
}

impl TrainingRoom {
    /// Of these many bytes, for a model that is on this device.
    pub(crate) fn of(model: &Model, device: Device, bytes: usize) -> Self {
        let unit = device.precision().unit.filter(|_| device == Device::Cpu);
        Self::with(unit, model, bytes)
    }

    fn with(unit: Option<Bf16Unit>, model: &Model, bytes: usize) -> Self {
        let without = Self { unit: None, packed: 0, activations: bytes };
        let (Some(unit), decoder) = (unit, model.decoder()) else { return without };
        let packed = decoder.packed_bytes();
        let with = Self { unit: Some(unit), packed, ..without };
        match decoder.in_f32() {
            true if decoder.weight_bytes() <= WIDE_BYTES => with,
            false if decoder.bf16_unit().is_some() && packed <= bytes / 2 => {
                Self { activations: bytes - packed, ..with }
            }
            _ => without,
        }
    }

    /// What multiplies the frozen weights from their copies, if there are any.
    pub(crate) fn unit(&self) -> Option<Bf16Unit> {
        self.unit
    }

    /// The model whose adapter learns.
    pub(crate) fn student(&self, model: &Model) -> Result<Model> {
        self.unit.map_or_else(|| Ok(model.clone()), |unit| model.packed(unit))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::tensor::weight::{Form, Precision};

    #[test]
    fn a_small_model_is_packed_and_another_where_there_is_room() {
        let unit = Some(Bf16Unit::Emulated);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models/qwen2");
        let of = |form| {
            let precision = Precision { form: Some(form), unit };
            Model::load_at(&folder, &candle_core::Device::Cpu, precision).unwrap()
        };
        let (small, stored) = (of(Form::Wide), of(Form::Stored));
        let packed = small.decoder().packed_bytes();
        let room = |model: &Model, bytes| TrainingRoom::with(unit, model, bytes);
        assert_eq!(room(&small, 0), TrainingRoom { unit, packed, activations: 0 });
        let whole = TrainingRoom { unit, packed, activations: packed };
        assert_eq!(room(&stored, 2 * packed), whole);
        let none = TrainingRoom { unit: None, packed: 0, activations: 2 * packed - 1 };
        assert_eq!(room(&stored, 2 * packed - 1), none);
        // Who wants products in f32 gets them.
        assert_eq!(TrainingRoom::of(&small, Device::CpuF32, 1 << 30).unit(), None);
    }
}
