//! What is wrong with a file that the system does not load as a library (ELF, System V ABI, figure 4-3).

use std::fs::File;
use std::io::Read as _;

/// In words, where the file shows it.
pub(super) fn fault(path: &str) -> Option<String> {
    let mut header = [0; 20];
    // The bare name of a library is none of a file.
    let mut file = File::open(path).ok()?;
    if file.read_exact(&mut header).is_err() || !header.starts_with(b"\x7fELF") {
        return cfg!(target_os = "linux").then(|| "is no library of this system".to_owned());
    }
    let machine = match u16::from_le_bytes([header[18], header[19]]) {
        3 => "x86",
        40 => "arm",
        62 => "x86_64",
        183 => "aarch64",
        243 => "riscv64",
        _ => return None,
    };
    let own = std::env::consts::ARCH;
    (machine != own).then(|| format!("is built for {machine}, this machine is {own}"))
}

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn libraries_of_other_machines_are_recognised() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lib.so");
        let check = |content: &[u8], expected: Option<&str>| {
            std::fs::write(&path, content).unwrap();
            let found = fault(path.to_str().unwrap());
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()));
        };
        let header = |machine: u16| [&b"\x7fELF"[..], &[0; 14], &machine.to_le_bytes()].concat();
        if cfg!(target_os = "linux") {
            check(b"no library", Some("no library"));
        }
        check(&header(243), Some("built for riscv64"));
        let own = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
        check(&header(own), None);
        assert_eq!(fault("libonnxruntime.so"), None);
    }
}
