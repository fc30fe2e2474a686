//! No more connections than so many, in TLS or not, and few writes for small answers.
//!
//! Guarantees that those over the limit wait in the system's queue, unaccepted, that a
//! connection's end lets the next one in, that one on which nobody says anything ends soon, that the
//! last answer arrives also at who is still sending, and that answers which are ready together leave
//! together. Leaves out what is said on them, and who is there: telling one peer from another is for
//! a proxy.

use crate::metrics::{Metrics, Present};
use futures::{Stream, StreamExt as _, stream};
use std::{
    future::ready,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy, sink},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;

/// Within this a peer has shaken hands, and within as long again it has begun to ask.
const BEGIN: Duration = Duration::from_secs(10);
/// How long the end of a connection waits for the peer's: one that is closed on unread words is reset,
/// and what was said last may be lost with it.
const LINGER: Duration = Duration::from_secs(1);
/// The longest beginning that leaves open what is spoken: that of HTTP/2.
const BEGUN: usize = 24;

/// The first byte of TLS: a record of the handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;
/// What everybody else is told, whatever they speak.
const NOT_PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Content-Length: 48\r\nConnection: close\r\n\r\nThis port speaks TLS: write https:// in the URL\n";

/// A connection that counts as long as it lives.
pub(crate) struct Counted<S> {
    socket: S,
    place: (OwnedSemaphorePermit, Present),
    /// Whether the writes since the last flush have let the others go first.
    yielded: bool,
    /// Until when the peer must have begun, if it has not: one that is answered, or whose words
    /// tell what it speaks, is watched by its protocol from then on.
    silent: Option<Pin<Box<Sleep>>>,
    /// Bytes that it said until then.
    heard: usize,
    /// Until when the peer may still be sending, once everything is said.
    leaving: Option<Pin<Box<Sleep>>>,
}

impl<S> Counted<S> {
    fn new(socket: S, place: (OwnedSemaphorePermit, Present)) -> Self {
        let silent = Some(Box::pin(sleep(BEGIN)));
        Self { socket, place, yielded: false, silent, heard: 0, leaving: None }
    }

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
) -> impl Stream<Item = io::Result<Counted<TcpStream>>> + Send {
    let permits = Arc::new(Semaphore::new(most));
    stream::unfold((incoming, permits, metrics), |(mut incoming, permits, metrics)| async move {
        let permit = permits.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let accepted = incoming.next().await?;
        let counted = accepted.map(|socket| Counted::new(socket, (permit, metrics.connected())));
        Some((counted, (incoming, permits, metrics)))
    })
}

/// Those of `incoming` that shake hands, `most` of them at it at a time. One that does not ends
/// and holds nobody up.
pub(crate) fn secured(
    incoming: impl Stream<Item = io::Result<Counted<TcpStream>>> + Send,
    acceptor: TlsAcceptor,
    most: usize,
) -> impl Stream<Item = io::Result<Counted<TlsStream<TcpStream>>>> + Send {
    let shake = move |accepted: io::Result<Counted<TcpStream>>| {
        let acceptor = acceptor.clone();
        async move {
            let Counted { socket, place, .. } = match accepted {
                Ok(counted) => counted,
                Err(e) => return Some(Err(e)),
            };
            let shaken = timeout(BEGIN, handshake(socket, acceptor)).await.ok()?;
            let socket = shaken.inspect_err(|error| tracing::debug!(%error, "no TLS")).ok()?;
            Some(Ok(Counted::new(socket, place)))
        }
    };
    incoming.map(shake).buffer_unordered(most).filter_map(ready)
}

async fn handshake(
    mut socket: TcpStream,
    acceptor: TlsAcceptor,
) -> io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    if socket.peek(&mut first).await? == 0 || first == [HANDSHAKE] {
        return acceptor.accept(socket).await;
    }
    socket.write_all(NOT_PLAIN).await?;
    socket.shutdown().await?;
    // A connection that is closed on unread words is reset, and the answer may be lost with it.
    copy(&mut socket, &mut sink()).await?;
    Err(io::Error::new(io::ErrorKind::InvalidData, "it speaks plain HTTP"))
}

impl<S: Connected> Connected for Counted<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.socket.connect_info()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        self.heard = self.heard.saturating_add(buffer.filled().len() - before);
        if self.heard >= BEGUN {
            self.silent = None;
        }
        let late = |silent: &mut Pin<Box<Sleep>>| silent.as_mut().poll(cx).is_ready();
        if read.is_pending() && self.silent.as_mut().is_some_and(late) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

// No vectored writes: with them h2 lets an answer of 256 bytes end a packet, without them one
// of 1,024, and an acknowledgement lies between.
impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.after_others(cx));
        self.silent = None;
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.yielded = false;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.leaving.is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
        }
        let leaving = this.leaving.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut unread = [0; 4_096];
        while leaving.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut unread);
            ready!(Pin::new(&mut this.socket).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::{io::AsyncReadExt as _, net::TcpListener};
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

    #[tokio::test]
    async fn who_says_nothing_is_given_up_and_who_has_begun_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut accepted = Box::pin(limited(TcpIncoming::from(listener), 9, Arc::default()));
        for (said, is_late) in [(0, true), (BEGUN - 1, true), (BEGUN, false)] {
            let mut peer = TcpStream::connect(address).await.unwrap();
            let mut counted = accepted.next().await.unwrap().unwrap();
            counted.silent = Some(Box::pin(sleep(Duration::from_millis(50))));
            peer.write_all(&vec![b'x'; said]).await.unwrap();
            let mut all = [0; 2 * BEGUN];
            let mut read = 0;
            let end = timeout(Duration::from_millis(300), async {
                loop {
                    match counted.read(&mut all[read..]).await {
                        Ok(more) => read += more,
                        Err(error) => break error,
                    }
                }
            });
            let end = end.await.map(|error| error.kind());
            assert_eq!((read, end.is_ok()), (said, is_late), "{end:?}");
        }
    }
}
