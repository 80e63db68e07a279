//! What the process itself takes, under the names that Prometheus has for it.
//!
//! Invariant: what this system does not tell is left out, not told as zero.

use std::fs;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use metrics::{describe_gauge, gauge};

use crate::memory;

/// When the service began.
pub(super) static STARTED: LazyLock<SystemTime> = LazyLock::new(SystemTime::now);

/// Reads them all.
#[expect(clippy::cast_precision_loss, reason = "bytes and seconds stay far below 2^52")]
pub(super) fn read() {
    describe_gauge!("toolscout_build_info", "1, with the version as its label");
    gauge!("toolscout_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let usage = memory::usage();
    // A counter counts whole seconds.
    describe_gauge!("process_cpu_seconds_total", "CPU time, of all threads");
    gauge!("process_cpu_seconds_total").set(usage.cpu_ms as f64 / 1000.0);
    describe_gauge!("toolscout_allocator_bytes", "Bytes that the allocator has from the system");
    gauge!("toolscout_allocator_bytes").set(usage.committed as f64);
    describe_gauge!("toolscout_peak_resident_bytes", "The most bytes that were ever resident");
    gauge!("toolscout_peak_resident_bytes").set(usage.peak as f64);
    describe_gauge!("process_resident_memory_bytes", "Resident memory");
    describe_gauge!("process_virtual_memory_bytes", "Virtual memory");
    describe_gauge!("process_threads", "Threads");
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for (line, name, unit) in [
        ("VmRSS:", "process_resident_memory_bytes", 1024.0),
        ("VmSize:", "process_virtual_memory_bytes", 1024.0),
        ("Threads:", "process_threads", 1.0),
    ] {
        if let Some(value) = field(&status, line) {
            gauge!(name).set(value * unit);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        describe_gauge!("process_open_fds", "Open files and sockets");
        gauge!("process_open_fds").set(open.count() as f64);
    }
    if let Ok((most, _)) = rlimit::Resource::NOFILE.get() {
        describe_gauge!("process_max_fds", "The most files and sockets that may be open");
        gauge!("process_max_fds").set(most as f64);
    }
    describe_gauge!("process_start_time_seconds", "When the service began, since 1970");
    gauge!("process_start_time_seconds")
        .set(STARTED.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
}

/// The number after `name` in `/proc/self/status`.
fn field(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
