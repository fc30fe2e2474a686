//! A way between two nodes that can be cut.
//!
//! Owns a port that passes bytes on to another, in both directions, unless the way is cut just now:
//! then it takes nobody and breaks who is there, or holds back what comes, or passes it on late.
//! Guarantees that bytes that are passed on are whole and in order, as TCP has them. Leaves out
//! when it is cut.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// What a way does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// All goes through.
    Open,
    /// Who is there is broken off, who comes is closed upon.
    Refuse,
    /// Nothing comes through, and nobody is told.
    Hold,
    /// Every piece comes late.
    Delay,
}

/// How late.
const LATE: Duration = Duration::from_millis(120);
/// How often a way that is silent is looked at.
const LOOK: Duration = Duration::from_millis(20);

struct Way {
    mode: AtomicU8,
    /// Goes up when all connections are to break.
    age: AtomicU64,
    to: SocketAddr,
}

impl Way {
    fn is(&self, mode: Mode) -> bool {
        self.mode.load(Ordering::Relaxed) == mode as u8
    }
}

/// A way to a node; it is there until the test ends.
pub struct Proxy {
    pub url: String,
    way: Arc<Way>,
}

impl Proxy {
    /// To `to`, from a port of its own.
    pub fn new(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mode = AtomicU8::new(Mode::Open as u8);
        let way = Arc::new(Way { mode, age: AtomicU64::new(0), to });
        let ours = way.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let way = ours.clone();
                thread::spawn(move || carry(&way, stream));
            }
        });
        Self { url, way }
    }

    pub fn set(&self, mode: Mode) {
        self.way.mode.store(mode as u8, Ordering::Relaxed);
        if mode == Mode::Refuse {
            self.break_off();
        }
    }

    /// Breaks all connections that are there; new ones are taken as before.
    pub fn break_off(&self) {
        self.way.age.fetch_add(1, Ordering::Relaxed);
    }
}

fn carry(way: &Arc<Way>, near: TcpStream) {
    let age = way.age.load(Ordering::Relaxed);
    while way.is(Mode::Hold) {
        thread::sleep(LOOK);
    }
    if way.is(Mode::Refuse) {
        return;
    }
    let Ok(far) = TcpStream::connect(way.to) else { return };
    let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { return };
    let other = way.clone();
    let back = thread::spawn(move || pass_on(&other, age, far_too, near_too));
    pass_on(way, age, near, far);
    let _ = back.join();
}

/// One direction, until either end closes or the way is broken off.
fn pass_on(way: &Way, age: u64, mut from: TcpStream, mut to: TcpStream) {
    let mut piece = vec![0; 64 << 10];
    let _ = from.set_nodelay(true);
    let _ = to.set_nodelay(true);
    let _ = from.set_read_timeout(Some(LOOK));
    let broken = || way.age.load(Ordering::Relaxed) != age;
    while !broken() {
        let n = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        while way.is(Mode::Hold) && !broken() {
            thread::sleep(LOOK);
        }
        if way.is(Mode::Delay) {
            thread::sleep(LATE);
        }
        if broken() || to.write_all(&piece[..n]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
