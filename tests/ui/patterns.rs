//! What an answer must begin with, end with or match: text with words, or a regular expression.

use bake::bake;

bake! {
    bake Support {
        target keys from "docs/keys.md" {
            expect "Who?" => matches "(Bob";
            expect "Where?" => starts_with " ";
        }
        expect keys "When?" => ends_with "";
        expect keys "Why?" => matches "";
        expect keys "How?" => matches r"(?<!not )open";
        expect keys "How far?" => begins_with "Far";
        expect keys "How many?" => matches 12;
    }
}

fn main() {}
