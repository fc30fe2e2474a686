//! No more connections than so many, and few writes for small answers.
//!
//! Guarantees that those over the limit wait in the system's queue, unaccepted, that a
//! connection's end lets the next one in, and that answers which are ready together leave
//! together. Leaves out what is said on them, and who is there: telling one peer from
//! another is for the proxy that ends TLS.

use crate::metrics::{Metrics, Present};
use futures::{Stream, StreamExt as _, stream};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tonic::transport::server::Connected;

/// A connection that counts as long as it lives.
pub(crate) struct Counted {
    socket: TcpStream,
    _permit: OwnedSemaphorePermit,
    _present: Present,
    /// Whether the writes since the last flush have let the others go first.
    yielded: bool,
}

impl Counted {
    /// The first write after a flush lets every task go first that can: one commit answers
    /// many calls, and each answer would otherwise be a packet of its own.
    fn after_others(&mut self, cx: &Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The connections of `incoming`, `most` at a time.
pub(crate) fn limited(
    incoming: impl Stream<Item = io::Result<TcpStream>> + Send + Unpin,
    most: usize,
    metrics: Arc<Metrics>,
) -> impl Stream<Item = io::Result<Counted>> + Send {
    let permits = Arc::new(Semaphore::new(most));
    stream::unfold((incoming, permits, metrics), |(mut incoming, permits, metrics)| async move {
        let permit = permits.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let accepted = incoming.next().await?;
        let counted = accepted.map(|socket| {
            let present = metrics.connected();
            Counted { socket, _permit: permit, _present: present, yielded: false }
        });
        Some((counted, (incoming, permits, metrics)))
    })
}

impl Connected for Counted {
    type ConnectInfo = <TcpStream as Connected>::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.socket.connect_info()
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

// No vectored writes: with them h2 lets an answer of 256 bytes end a packet, without them one
// of 1,024, and an acknowledgement lies between.
impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.after_others(cx));
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.yielded = false;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;
    use tonic::transport::server::TcpIncoming;

    #[tokio::test]
    async fn the_next_is_let_in_when_one_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut accepted = Box::pin(limited(TcpIncoming::from(listener), 2, Arc::default()));
        let mut callers = Vec::new();
        for _ in 0..3 {
            callers.push(TcpStream::connect(address).await.unwrap());
        }
        let first = accepted.next().await.unwrap().unwrap();
        let _second = accepted.next().await.unwrap().unwrap();
        let soon = std::time::Duration::from_millis(100);
        let third = tokio::time::timeout(soon, accepted.next()).await;
        assert!(third.is_err(), "two are there");
        drop(first);
        accepted.next().await.unwrap().unwrap();
    }
}
