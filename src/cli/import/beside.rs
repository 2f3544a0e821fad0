//! Pictures of a manifest: a path relative to it, base64, a `data:` URL, or the address of one that was fetched before into a
//! file beside the manifest. A path must not lead out of its directory.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use percent_encoding::percent_decode_str;

use crate::catalogue::picture_text::{is_data_url, picture};
use crate::service::ingest::Image;

/// Longer than any valid path; a longer text can only be base64.
const LONGEST_PATH: usize = 4096;

/// The directory that a manifest's paths are relative to.
#[derive(Debug)]
pub struct Beside(PathBuf);

impl Beside {
    /// The directory of a manifest.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(manifest: &Path) -> Result<Self> {
        let folder = match manifest.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        Self::folder(folder)
    }

    /// The directory itself.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn folder(folder: &Path) -> Result<Self> {
        let whole = folder.canonicalize();
        whole
            .map(Self)
            .with_context(|| format!("{} cannot be read", folder.display()))
    }

    /// The picture that a text stands for: a file if one exists at that path, else base64. A leading slash does not make
    /// it a path, because every JPEG in base64 begins with one.
    ///
    /// # Errors
    /// Says why the text is not a picture.
    pub fn image(&self, text: &str) -> Result<Image, String> {
        if is_data_url(text) {
            return picture(text).map(Image::Bytes);
        }
        if is_address(text) {
            return self.fetched(text);
        }
        let path = Path::new(text);
        let may_be_path = !text.is_empty() && text.len() <= LONGEST_PATH;
        let inside = may_be_path
            && path
                .components()
                .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if inside && self.0.join(path).exists() {
            return self.file(path);
        }
        let base64 = picture(text).ok().filter(|bytes| !bytes.is_empty());
        base64.map(Image::Bytes).ok_or_else(|| {
            let shown: String = text.chars().take(100).collect();
            if may_be_path && !inside && path.components().next().is_some() {
                format!("{shown:?} leads out of the manifest's directory; use a relative path without ..")
            } else {
                format!("{shown:?} is not a file in the manifest's directory, base64 or a data: URL")
            }
        })
    }

    /// The file that an address was fetched into: named by host and path, as `wget --force-directories` names it, or by the
    /// last part of its path.
    fn fetched(&self, address: &str) -> Result<Image, String> {
        let (_, whole) = address.split_once("://").unwrap_or_default();
        let whole = whole.split('#').next().unwrap_or_default();
        let plain = whole.split('?').next().unwrap_or_default();
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let decoded = percent_decode_str(plain).decode_utf8_lossy().into_owned();
        let names = [
            whole.to_owned(),
            plain.to_owned(),
            decoded.clone(),
            last(whole),
            last(plain),
            last(&decoded),
        ];
        let found = names.iter().map(Path::new).find(|path| {
            let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
            inside && path.components().next().is_some() && self.0.join(path).is_file()
        });
        match found {
            Some(path) => self.file(path),
            None => {
                let shown: String = address.chars().take(200).collect();
                Err(format!(
                    "{shown} is not fetched; there is no file {} beside the manifest",
                    last(plain)
                ))
            }
        }
    }

    /// A file in the directory. A symbolic link must not lead out of it either.
    ///
    /// # Errors
    /// If it cannot be read, is not a regular file, or is outside the directory.
    pub fn file(&self, path: &Path) -> Result<Image, String> {
        let shown = path.display();
        let unread = |error: std::io::Error| format!("{shown} cannot be read: {error}");
        let whole = self.0.join(path).canonicalize().map_err(unread)?;
        if !whole.starts_with(&self.0) {
            return Err(format!(
                "{shown} is a link that leads out of {}; copy the file into it",
                self.0.display()
            ));
        }
        let metadata = whole.metadata().map_err(unread)?;
        if !metadata.is_file() {
            return Err(format!("{shown} is not a file"));
        }
        Ok(Image::File {
            path: whole,
            bytes: metadata.len(),
        })
    }
}

/// Whether a text is the address of a picture on another machine.
pub fn is_address(text: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        text.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_file_that_it_was_fetched_into() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        std::fs::create_dir_all(folder.join("cdn.example/files")).unwrap();
        for (name, bytes) in [
            ("cdn.example/files/a.png", 1),
            ("b.png", 2),
            ("c d.png", 3),
            ("cdn.example/files/e.png?v=2", 5),
        ] {
            std::fs::write(folder.join(name), vec![0; bytes]).unwrap();
        }
        let beside = Beside::folder(folder).unwrap();
        let length = |address: &str| match beside.image(address) {
            Ok(Image::File { bytes, .. }) => bytes,
            other => panic!("{address}: {other:?}"),
        };
        assert_eq!(length("https://cdn.example/files/a.png?v=1700000000"), 1);
        assert_eq!(length("HTTP://other.example/x/b.png#top"), 2);
        assert_eq!(length("https://cdn.example/c%20d.png"), 3);
        assert_eq!(length("https://cdn.example/files/e.png?v=2"), 5);
        for (address, file) in [
            ("https://cdn.example/files/z.png", "z.png"),
            ("https://cdn.example/../../etc/passwd", "passwd"),
            ("https://", ""),
        ] {
            let refusal = beside.image(address).unwrap_err();
            assert_eq!(
                refusal,
                format!("{address} is not fetched; there is no file {file} beside the manifest")
            );
        }
    }

    #[test]
    fn a_text_is_a_file_inside_or_base64_and_never_a_file_outside() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("shop");
        std::fs::create_dir_all(folder.join("photos")).unwrap();
        for name in ["photos/a.png", "abcd", "../secret.png"] {
            std::fs::write(folder.join(name), b"file").unwrap();
        }
        std::os::unix::fs::symlink("../secret.png", folder.join("link.png")).unwrap();
        std::os::unix::fs::symlink("abcd", folder.join("inner.png")).unwrap();
        let beside = Beside::of(&folder.join("products.csv")).unwrap();
        let is_file = |text: &str| matches!(beside.image(text), Ok(Image::File { bytes: 4, .. }));
        assert!(
            ["photos/a.png", "./photos/a.png", "abcd", "inner.png"]
                .iter()
                .all(|text| is_file(text))
        );
        let bytes = |text: &str| beside.image(text);
        // Base64 of the first bytes of every JPEG.
        assert_eq!(bytes("/9j/"), Ok(Image::Bytes(vec![0xff, 0xd8, 0xff])));
        for url in [
            "data:image/png;base64,AAE=",
            "DATA:;BASE64,AAE",
            "data:;base64,A%41E%3d",
        ] {
            assert_eq!(bytes(url), Ok(Image::Bytes(vec![0, 1])), "{url}");
        }
        assert_eq!(bytes("/9\r\nj_"), Ok(Image::Bytes(vec![0xff, 0xd8, 0xff])));
        let secret = place.path().join("secret.png");
        for (text, reason) in [
            ("../secret.png", "leads out of the manifest's directory"),
            (secret.to_str().unwrap(), "leads out of the manifest's directory"),
            ("photos/../../secret.png", "leads out of the manifest's directory"),
            ("link.png", "is a link that leads out of"),
            ("photos", "is not a file"),
            ("nothing.png", "is not a file in the manifest's directory"),
            ("", "is not a file in the manifest's directory"),
        ] {
            let refusal = beside.image(text).unwrap_err();
            assert!(refusal.contains(reason), "{text}: {refusal}");
        }
    }
}
