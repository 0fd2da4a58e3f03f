//! Files that tests compare with, and rewrite with `BLESS=1`.

use std::path::Path;

/// Compares `actual` with the file, `path` below the package.
pub fn assert_blessed(path: &str, actual: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&file, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        expected == actual,
        "{path} differs from what the code makes. If that is meant, run the tests with BLESS=1 and read the diff.\n\
         The code makes:\n{actual}"
    );
}
