//! The work of `bench/ring_*.go` through the rtrb crate, number by number: the same
//! value, capacities, batches and way of waiting. Prints its metric as JSON.
//!
//!     rtrb-rival push|push-pop [quick]
//!     rtrb-rival batches PAIRS 0|1 [quick]       1: read every value
//!     rtrb-rival mpsc PRODUCERS 0|1 [quick]

use std::hint::{black_box, spin_loop};
use std::mem::MaybeUninit;
use std::thread;
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, RingBuffer};

/// 96 bytes; the first word is the value's number.
type Value = [u64; 12];

const SLOTS: usize = 4096;
const BATCH_SLOTS: usize = 1 << 16;
const BATCH: usize = 32_768;
const SPINS: u32 = 32;
const FEW: usize = 64;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let quick = args.iter().any(|a| a == "quick");
    let number = |i: usize| args[i].parse::<usize>().expect("a number");
    let pick = |full: usize, small: usize| if quick { small } else { full };
    match args[0].as_str() {
        "push" => push(pick(5_000, 10)),
        "push-pop" => push_pop(pick(20_000_000, 10_000) as u64),
        "batches" => batches(number(1), number(2) == 1, pick(1_000_000_000, 4 * BATCH)),
        "mpsc" => mpsc(number(1), number(2) == 1, pick(20_000_000, 20_000)),
        work => panic!("unknown work {work}"),
    }
}

/// Waits for the other side of a queue.
#[derive(Default)]
struct Waiter(u32);

impl Waiter {
    fn wait(&mut self) {
        self.0 += 1;
        if self.0 > SPINS {
            thread::yield_now();
        } else {
            spin_loop();
        }
    }
}

fn push(times: usize) {
    let (mut p, mut c) = RingBuffer::<Value>::new(SLOTS);
    let mut took = Duration::ZERO;
    let mut v: Value = [0; 12];
    for _ in 0..times {
        let start = Instant::now();
        for i in 0..SLOTS as u64 {
            v[0] = i;
            p.push(v).expect("room");
        }
        took += start.elapsed();
        c.read_chunk(SLOTS).expect("a full ring").commit_all();
    }
    println!(
        "{{\"ns/push\": {}}}",
        took.as_nanos() as f64 / (times * SLOTS) as f64
    );
}

fn push_pop(n: u64) {
    let (mut p, mut c) = RingBuffer::<Value>::new(SLOTS);
    let mut v: Value = [0; 12];
    let mut sum = 0u64;
    let start = Instant::now();
    for i in 0..n {
        v[0] = i;
        p.push(v).expect("room");
        sum += black_box(c.pop().expect("a value"))[0];
    }
    let took = start.elapsed();
    assert_eq!(sum, n * (n - 1) / 2);
    println!("{{\"ns/pair\": {}}}", took.as_nanos() as f64 / n as f64);
}

fn batches(pairs: usize, read: bool, values: usize) {
    let values = values / pairs / BATCH * BATCH;
    let start = Instant::now();
    let threads: Vec<_> = (0..pairs)
        .flat_map(|_| {
            let (p, c) = RingBuffer::<u32>::new(BATCH_SLOTS);
            [
                thread::spawn(move || produce_batches(p, values)),
                thread::spawn(move || consume_batches(c, values, read)),
            ]
        })
        .collect();
    for t in threads {
        t.join().expect("no panic");
    }
    report(pairs * values, start.elapsed());
}

fn produce_batches(mut p: Producer<u32>, values: usize) {
    let mut sent = 0;
    while sent < values {
        let mut w = Waiter::default();
        let mut chunk = loop {
            match p.write_chunk_uninit(BATCH) {
                Ok(chunk) => break chunk,
                Err(_) => w.wait(),
            }
        };
        let (first, second) = chunk.as_mut_slices();
        write(first, sent);
        let n = first.len();
        write(second, sent + n);
        // Every slot of both slices was written.
        unsafe { chunk.commit_all() };
        sent += BATCH;
    }
}

fn write(slots: &mut [MaybeUninit<u32>], from: usize) {
    for (i, slot) in slots.iter_mut().enumerate() {
        slot.write((from + i) as u32);
    }
}

fn consume_batches(mut c: Consumer<u32>, values: usize, read: bool) {
    let mut count = 0;
    let mut sum = 0u64;
    while count < values {
        let mut w = Waiter::default();
        let chunk = loop {
            match c.read_chunk(BATCH) {
                Ok(chunk) => break chunk,
                Err(_) => w.wait(),
            }
        };
        if read {
            let (first, second) = chunk.as_slices();
            sum += first.iter().chain(second).map(|&v| v as u64).sum::<u64>();
        }
        count += chunk.len();
        chunk.commit_all();
    }
    if read {
        assert_eq!(sum, (0..values).map(|v| v as u32 as u64).sum::<u64>());
    }
}

fn mpsc(producers: usize, read: bool, values: usize) {
    let each = values / producers;
    let start = Instant::now();
    let mut threads = Vec::new();
    let mut rings = Vec::new();
    for _ in 0..producers {
        let (mut p, c) = RingBuffer::<Value>::new(SLOTS);
        rings.push(c);
        threads.push(thread::spawn(move || {
            let mut v: Value = [0; 12];
            for i in 0..each as u64 {
                v[0] = i;
                let mut w = Waiter::default();
                while p.push(v).is_err() {
                    w.wait();
                }
            }
        }));
    }
    let (mut count, mut sum) = (0, 0u64);
    while count < producers * each {
        let before = count;
        for c in &mut rings {
            let n = c.slots();
            if n == 0 {
                continue;
            }
            let chunk = c.read_chunk(n).expect("what slots promised");
            if read {
                let (first, second) = chunk.as_slices();
                sum += first.iter().chain(second).map(|v| v[0]).sum::<u64>();
            }
            chunk.commit_all();
            count += n;
        }
        if count - before < FEW {
            thread::yield_now();
        }
    }
    let took = start.elapsed();
    for t in threads {
        t.join().expect("no panic");
    }
    if read {
        let n = each as u64;
        assert_eq!(sum, producers as u64 * (n * (n - 1) / 2));
    }
    report(count, took);
}

fn report(values: usize, took: Duration) {
    println!(
        "{{\"M values/s\": {}}}",
        values as f64 / 1e6 / took.as_secs_f64()
    );
}
