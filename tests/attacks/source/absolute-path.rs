bake::bake! { target a from "/etc/hostname"; }
