bake::bake! { bake A {} }
