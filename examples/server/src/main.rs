//! An HTTP server that answers from a baked model.
//!
//! ```text
//! cargo run                # bakes at the first start, which takes a minute or two
//! curl localhost:3000/ask -H 'content-type: application/json' -d '{"question": "My key is lost"}'
//! curl localhost:3000/stream -N -H 'content-type: application/json' -d '{"question": "I am ill"}'
//! ```

mod service;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

bake::bake! {
    /// What everyone in the office should know.
    bake Office {
        lora { rank 8; alpha 16; }
        train { epochs 24; lr 6e-3; }
        // Only the questions below, and those that the model asks.
        outline 0;
        unanswerable 0;
        anchors none;
        target office from "docs/office.md" {
            questions ["I lost my key", "My laptop does not work", "I am ill today"];
            ask 40;
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Before the server starts, this thread may block. An application that is shipped has its
    // adapter embedded by a build script, and only loads.
    Office::bake()?;
    let office = Office::load()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(runtime.block_on(serve(&office))?)
}

async fn serve(office: &bake::Chat) -> std::io::Result<()> {
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3000);
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}; Ctrl-C stops it", listener.local_addr()?);
    // On Ctrl-C no further connections are accepted, and the answers in progress are finished.
    axum::serve(listener, service::routes(office.clone())).with_graceful_shutdown(stopped()).await
}

/// Waits for Ctrl-C, or for the signal with which a supervisor stops a service.
async fn stopped() {
    let interrupted = async {
        if let Err(e) = tokio::signal::ctrl_c().await {
            eprintln!("cannot handle Ctrl-C: {e}");
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(e) => {
                eprintln!("cannot handle SIGTERM: {e}");
                std::future::pending::<()>().await;
            }
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        () = interrupted => {}
        () = terminated => {}
    }
}
