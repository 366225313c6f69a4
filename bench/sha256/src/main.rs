//! Hashes the bytes of a file, cut into as many parts as there are threads. Prints the nanoseconds.
//!
//! Usage: sha256 FILE THREADS

use std::env;
use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Instant;

use sha2::{Digest, Sha256};

const BLOCK: usize = 1 << 20;

fn hash(file: &File, mut at: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; BLOCK];
    let mut hasher = Sha256::new();
    while at < end {
        let room = BLOCK.min(usize::try_from(end - at).unwrap_or(BLOCK));
        let part = &mut buffer[..room];
        file.read_exact_at(part, at)?;
        hasher.update(&*part);
        at += room as u64;
    }
    black_box(hasher.finalize());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(path), Some(threads)) = (args.next(), args.next()) else {
        return Err("usage: sha256 FILE THREADS".into());
    };
    let threads: u64 = threads.parse()?;
    let start = Instant::now();
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|n| (length * n / threads, length * (n + 1) / threads))
            .map(|(from, to)| {
                scope.spawn({
                    let file = &file;
                    move || hash(file, from, to)
                })
            })
            .collect();
        parts.into_iter().try_for_each(|part| part.join().expect("a thread panicked"))
    })?;
    println!("{}", start.elapsed().as_nanos());
    Ok(())
}
