//! Puts the baked adapter into the program.

fn main() -> Result<(), bake_build::Error> {
    bake_build::embed()
}
