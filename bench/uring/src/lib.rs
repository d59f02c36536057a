//! Sends to many sockets with one system call: what a server could save by io_uring.
//!
//! For the benchmarks only. The kernel is done with all that it was given before a call returns,
//! so there is nothing to keep alive and the interface is safe.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::{IoUring, opcode, types};

/// Sends that the kernel is given at once.
const ENTRIES: u32 = 1024;

/// Submits sends, and waits for them.
pub struct Sender {
    ring: IoUring,
}

impl Sender {
    /// Asks the kernel for a ring.
    ///
    /// # Errors
    /// When the kernel has no io_uring or forbids it, as the seccomp profile of most container
    /// runtimes does.
    pub fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .build(ENTRIES)?;
        Ok(Self { ring })
    }

    /// Sends `bytes` to each of `sockets` as far as it takes them without waiting. Returns, in
    /// their order, how many it took, or the error of that socket.
    ///
    /// # Errors
    /// When the kernel takes no sends at all.
    pub fn send(
        &mut self,
        sockets: &[BorrowedFd<'_>],
        bytes: &[u8],
    ) -> io::Result<Vec<io::Result<usize>>> {
        const DONTWAIT: i32 = 0x40;
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let mut results = Vec::with_capacity(sockets.len());
        for sockets in sockets.chunks(ENTRIES as usize) {
            for (number, socket) in sockets.iter().enumerate() {
                let socket = types::Fd(socket.as_raw_fd());
                let send = opcode::Send::new(socket, bytes.as_ptr(), length)
                    .flags(DONTWAIT)
                    .build()
                    .user_data(number as u64);
                // SAFETY: `bytes` and the sockets outlive the wait for all completions below.
                let pushed = unsafe { self.ring.submission().push(&send) };
                pushed.map_err(io::Error::other)?;
            }
            let base = results.len();
            results.extend(sockets.iter().map(|_| Ok(0)));
            let mut left = sockets.len();
            while left > 0 {
                match self.ring.submit_and_wait(left) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // The kernel may hold addresses of what the caller lends until it returns.
                    Err(_) => std::process::abort(),
                    Ok(_) => {}
                }
                for completion in self.ring.completion() {
                    let count = usize::try_from(completion.result());
                    let error = |_| io::Error::from_raw_os_error(-completion.result());
                    results[base + completion.user_data() as usize] = count.map_err(error);
                    left -= 1;
                }
            }
        }
        Ok(results)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn every_socket_gets_the_bytes_and_a_broken_one_says_so() -> io::Result<()> {
        let mut sender = match Sender::new() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                writeln!(io::stderr(), "skipped: io_uring is forbidden here")?;
                return Ok(());
            }
            sender => sender?,
        };
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut pairs = Vec::new();
        for _ in 0..3 {
            let client = TcpStream::connect(listener.local_addr()?)?;
            pairs.push((listener.accept()?.0, client));
        }
        pairs[1].0.shutdown(std::net::Shutdown::Write)?;
        let sockets: Vec<_> = pairs.iter().map(|(server, _)| server.as_fd()).collect();
        let sent = sender.send(&sockets, b"frame")?;
        let counts: Vec<_> = sent.iter().map(|sent| sent.as_ref().ok()).collect();
        assert_eq!(counts, [Some(&5), None, Some(&5)]);
        let mut bytes = [0; 5];
        pairs[2].1.read_exact(&mut bytes)?;
        assert_eq!(&bytes, b"frame");
        Ok(())
    }
}
