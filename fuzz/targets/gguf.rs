//! Any bytes as a GGUF file: the tensors of an accepted header lie within the file, and what it
//! says about the model, its tokenizer and its template is read or refused.

#![no_main]

use bake_fuzz::{folder, write};
use bake_spec::model::gguf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    write("model.gguf", bytes);
    let Ok(header) = gguf::read_header(&folder().join("model.gguf")) else {
        return;
    };
    assert_eq!(header.size(), bytes.len() as u64);
    if let Ok(places) = header.places() {
        assert_eq!(places.len(), header.tensors().len());
    }
    let _ = header.config();
    if header.files().is_ok() {
        assert!(header.tokenizer().is_ok());
    }
});
