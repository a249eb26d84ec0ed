//! Read-only file maps, for weight files.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

/// A whole file, mapped read-only: pages are read when first touched and shared with the page
/// cache. The file must not be truncated while it is mapped.
#[derive(Debug)]
pub struct MappedFile {
    /// None for an empty file, which systems refuse to map.
    map: Option<memmap2::Mmap>,
}

impl MappedFile {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// What the system says when the file cannot be opened or mapped.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Self { map: None });
        }
        // SAFETY: the map is private to this value and read-only. Another program that truncates
        // or writes a weight file in use breaks the documented contract, as with every mapped
        // loader; the bytes are only ever read as plain numbers, which have no invalid values.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Self { map: Some(map) })
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_shows_the_bytes_of_the_file() {
        let path = std::env::temp_dir().join(format!("maru-mmap-{}", std::process::id()));
        for bytes in [&b"0123456789"[..], b""] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(&*MappedFile::open(&path).unwrap(), bytes);
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(MappedFile::open(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
