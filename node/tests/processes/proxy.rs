//! A line between nodes that can be made slow.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// A slow line brings a piece of this size
const PIECE: usize = 4 << 10;
/// so often.
const PAUSE: Duration = Duration::from_millis(40);

/// Passes connections on to a port.
pub struct Proxy {
    slow: Arc<AtomicBool>,
}

impl Proxy {
    /// From `port` to `to`, until the test ends.
    pub async fn start(port: u16, to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a free port");
        let slow = Arc::<AtomicBool>::default();
        let flag = Arc::clone(&slow);
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                // Nobody there: the caller is hung up on.
                let Ok(to) = TcpStream::connect(("127.0.0.1", to)).await else { continue };
                from.set_nodelay(true).and_then(|()| to.set_nodelay(true)).expect("a socket");
                let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
                tokio::spawn(pass(from_read, to_write, Arc::clone(&flag)));
                tokio::spawn(pass(to_read, from_write, Arc::default()));
            }
        });
        Self { slow }
    }

    /// Makes the line slow, or fast again.
    pub fn slow(&self, slow: bool) {
        self.slow.store(slow, Ordering::Relaxed);
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, slow: Arc<AtomicBool>) {
    let mut piece = vec![0; PIECE];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        if slow.load(Ordering::Relaxed) {
            tokio::time::sleep(PAUSE).await;
        }
        if to.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
}
