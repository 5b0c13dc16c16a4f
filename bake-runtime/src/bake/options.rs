//! How to bake.

use std::sync::Arc;

use bake_spec::Store;

use super::activations;
use crate::device::Device;
use crate::error::Result;
use crate::progress::{Bars, Interrupt, Progress};

/// How to bake: where results are kept, and who is told about progress.
#[derive(Clone)]
pub struct BakeOptions {
    store: Option<Store>,
    pub(super) progress: Arc<dyn Progress>,
    pub(super) interrupt: Interrupt,
    pub(super) fresh: bool,
    pub(super) activation_bytes: Option<usize>,
    pub(super) device: Device,
}

impl BakeOptions {
    /// The processor, the user's store, and bars on the standard error stream. Nothing interrupts
    /// the work: a library installs no signal handler unasked. A program that Ctrl-C should stop
    /// between two steps passes [`Interrupt::on_ctrl_c`].
    pub fn new() -> Self {
        let progress = Arc::new(Bars::default());
        Self {
            store: None,
            progress,
            interrupt: Interrupt::new(),
            fresh: false,
            activation_bytes: None,
            device: Device::Cpu,
        }
    }

    /// Computes on this device. The adapter is kept under the same address whatever it was made on;
    /// another kind of device rounds differently, so it makes a different adapter of about the same
    /// quality, from its own stimuli, rollouts and states.
    pub fn device(self, device: Device) -> Self {
        Self { device, ..self }
    }

    /// Keeps results in this store, where [`Loader::store`](crate::Loader::store) finds them.
    pub fn store(self, store: Store) -> Self {
        Self { store: Some(store), ..self }
    }

    /// Reports to this.
    pub fn progress(self, progress: impl Progress + 'static) -> Self {
        Self { progress: Arc::new(progress), ..self }
    }

    /// Stops when this is set. What was finished until then is kept.
    pub fn interrupt(self, interrupt: Interrupt) -> Self {
        Self { interrupt, ..self }
    }

    /// Makes everything again, whatever is in the store, but for what further rounds alone ask
    /// (`until_covered`).
    pub fn fresh(self) -> Self {
        Self { fresh: true, ..self }
    }

    /// Keeps at most this many bytes of activations for the backward pass; what does not fit is
    /// computed twice. The result is the same. Where it is not set, it is half of the memory that
    /// the machine has free once the model is loaded, and at least 256 MiB.
    pub fn activation_bytes(self, activation_bytes: usize) -> Self {
        Self { activation_bytes: Some(activation_bytes), ..self }
    }

    /// The most bytes of activations to keep now.
    pub(super) fn room_for_activations(&self) -> usize {
        self.activation_bytes.unwrap_or_else(activations::room)
    }

    pub(super) fn open_store(&self) -> Result<Store> {
        match &self.store {
            Some(store) => Ok(store.clone()),
            None => Ok(Store::user()?),
        }
    }
}

impl Default for BakeOptions {
    fn default() -> Self {
        Self::new()
    }
}
