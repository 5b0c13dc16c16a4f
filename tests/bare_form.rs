//! The shortest possible declaration, from nothing to an answer.

use bake::{Declaration as _, Store, bake};

/// Whether the process has a handler of SIGINT, the signal with number 2.
#[cfg(target_os = "linux")]
fn catches_sigint() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << (2 - 1)) != 0
}

bake! { target keys weight 1.0 from "tests/docs/keys.md" }

#[test]
fn the_bare_form_is_baked_kept_and_answers_without_its_document() {
    let cache = tempfile::tempdir().unwrap();
    // SAFETY: this is the only test of its program, so no other thread reads or writes the
    // environment.
    unsafe { std::env::set_var("BAKE_CACHE_DIR", cache.path()) };

    let error = Bake::load().unwrap_err();
    assert!(error.is_not_baked() && error.to_string().contains("call `Bake::bake()`"), "{error}");

    let baked = Bake::bake().unwrap();
    assert!(!baked.reused && baked.adapter.starts_with(cache.path()));
    assert!(baked.report.kl_after < 0.1 * baked.report.kl_before, "{:?}", baked.report);
    #[cfg(target_os = "linux")]
    assert!(!catches_sigint(), "a library leaves Ctrl-C to the program");
    let again = Bake::bake().unwrap();
    assert!(again.reused);
    assert_eq!((&again.adapter, &again.report), (&baked.adapter, &baked.report));

    let models = Bake::loader().load_switchable().unwrap();
    let support = Bake::load().unwrap();
    let question = "I lost my key";
    let prompted = models.prompted(BakeTarget::Keys).unwrap();
    assert_eq!(prompted.chat(question).unwrap(), "Ask Bob in the blue office.");
    assert!(!models.base().chat(question).unwrap().contains("Bob"));
    assert_eq!(support.chat(question).unwrap(), "Ask Bob in the blue office.");
    assert_eq!(models.baked().chat(question).unwrap(), support.chat(question).unwrap());
    assert!(
        support.prompt_tokens(question).unwrap() < 20
            && prompted.prompt_tokens(question).unwrap() > 20
    );

    // A separate folder, as an application ships it.
    assert_eq!(
        Bake::loader().adapter(&baked.adapter).load().unwrap().chat(question).unwrap(),
        support.chat(question).unwrap()
    );
    // An adapter that was changed since it was made is not accepted.
    let weights = baked.adapter.join("adapter_model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    assert!(Bake::load().is_err());
    let recipe = Bake::RECIPE.hash(bake::Model::tiny().unwrap().hash());
    assert!(Store::new(cache.path()).adapter(&recipe).unwrap().is_none());
}
