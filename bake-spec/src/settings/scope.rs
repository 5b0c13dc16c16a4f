//! The places of a declaration in which settings are.

/// A place in a declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The declaration itself.
    Bake,
    /// Between a target's name and its braces or semicolon.
    TargetHead,
    /// In a target's braces.
    TargetBody,
    /// Between an anchor's name and its braces or semicolon.
    AnchorHead,
    /// In an anchor's braces.
    AnchorBody,
    /// In `ask N { … }`.
    Ask,
    /// In `persona N { … }`.
    Persona,
    /// In `rephrase N { … }`.
    Rephrase,
    /// In `unanswerable N { … }`.
    Unanswerable,
    /// In `dataset "…" { … }`.
    Dataset,
    /// In `prompt { … }` and `student { … }`.
    Prompt,
    /// In `examples { … }`.
    Examples,
    /// In `lora { … }`.
    Lora,
    /// In `train { … }`.
    Train,
    /// In `gate { … }`.
    Gate,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Bake,
        Self::TargetHead,
        Self::TargetBody,
        Self::AnchorHead,
        Self::AnchorBody,
        Self::Ask,
        Self::Persona,
        Self::Rephrase,
        Self::Unanswerable,
        Self::Dataset,
        Self::Prompt,
        Self::Examples,
        Self::Lora,
        Self::Train,
        Self::Gate,
    ];

    /// The place as a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bake => "bake",
            Self::TargetHead => "target",
            Self::TargetBody => "target_body",
            Self::AnchorHead => "anchor",
            Self::AnchorBody => "anchor_body",
            Self::Ask => "ask",
            Self::Persona => "persona",
            Self::Rephrase => "rephrase",
            Self::Unanswerable => "unanswerable",
            Self::Dataset => "dataset",
            Self::Prompt => "turns",
            Self::Examples => "examples",
            Self::Lora => "lora",
            Self::Train => "train",
            Self::Gate => "gate",
        }
    }

    /// The place, for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bake => "a bake",
            Self::TargetHead => "a target",
            Self::TargetBody => "a target's braces",
            Self::AnchorHead => "an anchor",
            Self::AnchorBody => "an anchor's braces",
            Self::Ask => "`ask`",
            Self::Persona => "`persona`",
            Self::Rephrase => "`rephrase`",
            Self::Unanswerable => "`unanswerable`",
            Self::Dataset => "`dataset`",
            Self::Prompt => "a prompt's braces",
            Self::Examples => "`examples`",
            Self::Lora => "`lora`",
            Self::Train => "`train`",
            Self::Gate => "`gate`",
        }
    }
}
