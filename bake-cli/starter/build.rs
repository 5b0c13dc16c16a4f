fn main() -> Result<(), bake_build::Error> {
    bake_build::embed()
}
