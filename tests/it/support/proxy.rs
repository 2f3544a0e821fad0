//! A TCP proxy that misbehaves as it is told: slow, silent, refusing, or leading elsewhere.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};

/// A proxy between a client and a server; it ends with the value.
pub struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    listening: watch::Receiver<bool>,
    runtime: Option<Runtime>,
}

#[derive(Clone, Copy)]
struct Orders {
    upstream: SocketAddr,
    way: Way,
    /// Of each direction.
    delay: Duration,
    /// How often connections were cut.
    cuts: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Pass,
    Refuse,
    Silent,
}

impl Proxy {
    /// A proxy that passes everything to a server.
    pub fn to(upstream: SocketAddr) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let address = (Ipv4Addr::LOCALHOST, super::postgres::free_port()).into();
        let (orders, followed) = watch::channel(Orders {
            upstream,
            way: Way::Pass,
            delay: Duration::ZERO,
            cuts: 0,
        });
        let (says, listening) = watch::channel(false);
        runtime.spawn(listen(address, followed, says));
        let proxy = Self {
            address,
            orders,
            listening,
            runtime: Some(runtime),
        };
        proxy.wait_until_listening(true);
        proxy
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes everything again, without delay.
    pub fn pass(&self) {
        self.orders.send_modify(|orders| {
            orders.way = Way::Pass;
            orders.delay = Duration::ZERO;
        });
        self.wait_until_listening(true);
    }

    /// Passes everything this much later, in each direction.
    pub fn delay(&self, each_direction: Duration) {
        self.orders.send_modify(|orders| orders.delay = each_direction);
    }

    /// Cuts every connection that there is; new ones are welcome.
    pub fn cut(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }

    /// Refuses new connections; those that there are go on.
    pub fn refuse(&self) {
        self.orders.send_modify(|orders| orders.way = Way::Refuse);
        self.wait_until_listening(false);
    }

    /// Passes nothing more, in no direction, and accepts new connections without a word. [`Proxy::pass`] delivers what was
    /// held up.
    pub fn silence(&self) {
        self.orders.send_modify(|orders| orders.way = Way::Silent);
        self.wait_until_listening(true);
    }

    /// Cuts every connection, and leads new ones to another server.
    pub fn switch(&self, upstream: SocketAddr) {
        self.orders.send_modify(|orders| {
            orders.upstream = upstream;
            orders.cuts += 1;
        });
    }

    fn wait_until_listening(&self, wanted: bool) {
        let start = Instant::now();
        while *self.listening.borrow() != wanted {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "{} cannot be listened at",
                self.address
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// Accepts connections for as long as there is someone to give orders.
async fn listen(
    address: SocketAddr,
    mut orders: watch::Receiver<Orders>,
    listening: watch::Sender<bool>,
) -> Option<()> {
    loop {
        orders.wait_for(|orders| orders.way != Way::Refuse).await.ok()?;
        let listener = TcpListener::bind(address).await.ok()?;
        listening.send_replace(true);
        let mut own = orders.clone();
        let refusing = own.wait_for(|orders| orders.way == Way::Refuse);
        tokio::pin!(refusing);
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (client, _) = accepted.ok()?;
                    tokio::spawn(connect(client, orders.clone()));
                }
                told = &mut refusing => {
                    told.ok()?;
                    break;
                }
            }
        }
        drop(listener);
        listening.send_replace(false);
    }
}

/// One connection, until either side ends it or it is cut.
async fn connect(client: TcpStream, mut orders: watch::Receiver<Orders>) {
    let cuts = orders.borrow().cuts;
    let mut own = orders.clone();
    let passed = async {
        own.wait_for(|orders| orders.way != Way::Silent).await.ok()?;
        let upstream = own.borrow().upstream;
        let server = TcpStream::connect(upstream).await.ok()?;
        client.set_nodelay(true).ok()?;
        server.set_nodelay(true).ok()?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::join!(
            pass(from_client, to_server, own.clone()),
            pass(from_server, to_client, own.clone())
        );
        Some(())
    };
    tokio::select! {
        _ = passed => {}
        _ = orders.wait_for(|orders| orders.cuts != cuts) => {}
    }
}

/// One direction. Reading goes on while what was read waits, so that a delay slows no stream.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut orders: watch::Receiver<Orders>) {
    let (queue, mut late) = mpsc::channel(256);
    let reading = async move {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            if queue
                .send((Instant::now(), bytes[..count].to_vec()))
                .await
                .is_err()
            {
                break;
            }
        }
    };
    let writing = async move {
        while let Some((read_at, bytes)) = late.recv().await {
            let delay = orders.borrow().delay;
            tokio::time::sleep_until((read_at + delay).into()).await;
            let told = orders
                .wait_for(|orders| orders.way != Way::Silent)
                .await
                .map(|_| ());
            told.map_err(io::Error::other)?;
            to.write_all(&bytes).await?;
        }
        to.shutdown().await
    };
    let _ = tokio::join!(reading, writing);
}

mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use super::Proxy;

    /// Answers each byte with its sum with a number; ends with the process.
    fn adder(number: u8) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                std::thread::spawn(move || {
                    let mut client = client.unwrap();
                    let mut byte = [0];
                    while client.read_exact(&mut byte).is_ok() {
                        let _ = client.write_all(&[byte[0] + number]);
                    }
                });
            }
        });
        address
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let client = TcpStream::connect(proxy.address()).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        client
    }

    fn ask(client: &mut TcpStream) -> Result<u8, ErrorKind> {
        client.write_all(&[10]).map_err(|error| error.kind())?;
        answer(client)
    }

    fn answer(client: &mut TcpStream) -> Result<u8, ErrorKind> {
        let mut byte = [0];
        client.read_exact(&mut byte).map_err(|error| error.kind())?;
        Ok(byte[0])
    }

    #[test]
    fn each_direction_is_delayed() {
        let proxy = Proxy::to(adder(1));
        let mut client = connect(&proxy);
        let time = |client: &mut TcpStream| {
            let start = Instant::now();
            assert_eq!(ask(client), Ok(11));
            start.elapsed()
        };
        assert!(time(&mut client) < Duration::from_millis(100));
        proxy.delay(Duration::from_millis(60));
        let delayed = time(&mut client);
        assert!(delayed > Duration::from_millis(120), "{delayed:?}");
        proxy.pass();
        assert!(time(&mut client) < Duration::from_millis(100));
    }

    #[test]
    fn connections_are_cut_and_refused() {
        let proxy = Proxy::to(adder(1));
        let mut client = connect(&proxy);
        assert_eq!(ask(&mut client), Ok(11));
        proxy.refuse();
        assert_eq!(ask(&mut client), Ok(11));
        let refused = TcpStream::connect(proxy.address()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        proxy.cut();
        assert_eq!(answer(&mut client), Err(ErrorKind::UnexpectedEof));
        proxy.pass();
        assert_eq!(ask(&mut connect(&proxy)), Ok(11));
    }

    #[test]
    fn a_silent_proxy_answers_nobody_until_it_passes_again() {
        let proxy = Proxy::to(adder(1));
        let mut client = connect(&proxy);
        assert_eq!(ask(&mut client), Ok(11));
        proxy.silence();
        let mut late = connect(&proxy);
        assert_eq!(ask(&mut client), Err(ErrorKind::WouldBlock));
        assert_eq!(ask(&mut late), Err(ErrorKind::WouldBlock));
        proxy.pass();
        assert_eq!(answer(&mut client), Ok(11));
        assert_eq!(answer(&mut late), Ok(11));
    }

    #[test]
    fn a_switched_proxy_leads_elsewhere() {
        let proxy = Proxy::to(adder(1));
        let mut client = connect(&proxy);
        assert_eq!(ask(&mut client), Ok(11));
        proxy.switch(adder(2));
        assert_eq!(answer(&mut client), Err(ErrorKind::UnexpectedEof));
        assert_eq!(ask(&mut connect(&proxy)), Ok(12));
    }
}
