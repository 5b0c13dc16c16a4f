//! Whether what is declared is what was baked, reported at the declaration.

use super::{Declared, DeclaringPackage};
use crate::diagnostics::{Code, Diagnostic, Diagnostics};
use crate::lock::{KnownModel, State, state};
use crate::model::Identity;

/// How a build takes bakes that are stale or missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// With warnings.
    #[default]
    Warn,
    /// By baking them first, with warnings about what is still stale or missing.
    Auto,
    /// As errors, for builds that must match what was committed.
    Locked,
    /// Not at all: there are types but no weights, as for documentation.
    Stub,
}

impl Mode {
    /// The mode of a name: `warn`, `auto`, `locked` or `stub`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Warn, Self::Auto, Self::Locked, Self::Stub]
            .into_iter()
            .find(|mode| mode.name() == name)
    }

    /// The name of the mode.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Auto => "auto",
            Self::Locked => "locked",
            Self::Stub => "stub",
        }
    }
}

/// What is stale and what is missing. A program that bakes while it runs needs no lock: if there is
/// no lock and no build script has set a mode, nothing is reported.
pub fn states(
    declared: &[Declared],
    package: DeclaringPackage<'_>,
    mode: Option<Mode>,
) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    if mode == Some(Mode::Stub) || (package.lock.is_none() && mode.is_none()) {
        return diagnostics;
    }
    let said = |code, span, message: String| match mode {
        Some(Mode::Locked) => Diagnostic::new(code, span, message),
        _ => Diagnostic::warning(code, span, message),
    };
    for Declared { name, targets, recipe, .. } in declared {
        let locked = package.lock.and_then(|lock| lock.bakes.get(&*recipe.name));
        let identity = Identity::of(package.root, &recipe.model);
        let found = state(recipe, KnownModel::Identity(identity.as_ref()), locked);
        match found.state {
            State::Fresh => {}
            State::Missing => {
                diagnostics.push(said(
                    Code::NotBaked,
                    name.span(),
                    format!("`{name}` has not been baked; run `cargo bake`"),
                ));
            }
            State::Stale if !found.why.is_empty() => {
                let message = format!("`{name}` is stale: {}; run `cargo bake`", found.summary());
                diagnostics.push(said(Code::Stale, name.span(), message));
            }
            State::Stale => {
                for target in found.targets.iter().filter(|target| target.state != State::Fresh) {
                    // An anchor has no name among the targets.
                    let span = targets
                        .iter()
                        .find(|name| name.is(&target.name))
                        .map_or(name.span(), |name| name.declared.span());
                    let message =
                        format!("`{}` is stale: {}; run `cargo bake`", target.name, target.why);
                    diagnostics.push(said(Code::Stale, span, message));
                }
            }
        }
    }
    diagnostics
}
