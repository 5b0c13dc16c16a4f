//! The mode of a build.

use bake_spec::check::Mode;

/// The mode that these environment variables ask for; an empty one counts as not set.
///
/// # Errors
/// When `BAKE` is not a mode; the message names the modes.
pub(crate) fn mode(bake: &str, ci: &str, docs_rs: &str) -> Result<Mode, String> {
    match (bake, Mode::from_name(bake)) {
        ("", _) if !docs_rs.is_empty() => Ok(Mode::Stub),
        ("", _) if !["", "false", "0"].contains(&ci) => Ok(Mode::Locked),
        ("", _) => Ok(Mode::Warn),
        (_, Some(mode)) if mode != Mode::Warn => Ok(mode),
        _ => Err(format!(
            "BAKE is `{}`, which is not a mode; set it to `locked`, `auto` or `stub`, or to \
             nothing",
            bake.escape_debug()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides() {
        for (bake, ci, docs_rs, want) in [
            ("", "", "", Mode::Warn),
            ("", "true", "", Mode::Locked),
            ("", "1", "", Mode::Locked),
            ("", "false", "", Mode::Warn),
            ("", "0", "", Mode::Warn),
            ("", "", "1", Mode::Stub),
            ("", "true", "1", Mode::Stub),
            ("locked", "", "1", Mode::Locked),
            ("auto", "true", "", Mode::Auto),
            ("stub", "true", "", Mode::Stub),
        ] {
            assert_eq!(mode(bake, ci, docs_rs), Ok(want), "{bake:?} {ci:?} {docs_rs:?}");
        }
        for bake in ["warn", "Locked", "1", "locked\nx"] {
            let error = mode(bake, "", "").unwrap_err();
            assert!(
                error.contains("`locked`, `auto` or `stub`") && !error.contains('\n'),
                "{error}"
            );
        }
    }
}
