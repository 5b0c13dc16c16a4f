//! Documents that are missing, empty, not text, or elsewhere.

use bake::bake;

bake! {
    target missing from "docs/kyes.md";
    target nowhere from "nowhere/keys.md";
    target empty from "docs/empty.md";
    target latin1 from "docs/latin1.md";
    target folder from "docs";
    target absolute from "/docs/keys.md";
    target backslash from "docs\\keys.md";
}

fn main() {}
