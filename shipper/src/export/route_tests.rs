use super::*;
use crate::config::model::Export;
use crate::export::Signal;
use http::HeaderValue;

/// An `https` destination whose files are those of the test's folder.
fn destination() -> Destination {
    let endpoint = Some("https://localhost:4318".parse().unwrap());
    Export { endpoint, ..Export::default() }.destination(Signal::Logs)
}

fn complaint(destination: Destination) -> String {
    Route::read(destination).unwrap_err().to_string()
}

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn headers_of_the_file_are_added_and_those_of_the_settings_win() {
    let folder = tempfile::tempdir().unwrap();
    let mut destination = Export::default().destination(Signal::Logs);
    destination.headers.insert("x-team", HeaderValue::from_static("own"));
    destination.headers_file = Some(file(&folder, "headers", "api-key: secret\nX-Team: file\n"));
    let headers = Route::read(destination).unwrap().destination.headers;
    assert_eq!(
        (headers.len(), &headers["x-team"], &headers["api-key"]),
        (2, &"own".parse().unwrap(), &"secret".parse().unwrap())
    );
    assert!(!format!("{headers:?}").contains("secret"));
}

#[test]
fn a_wrong_headers_file_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut destination = destination();
    let path = file(&folder, "headers", "api-key: a\nsecret");
    destination.headers_file = Some(path.clone());
    let wanted = format!("export.headers_file {}: line 2 must be name: value or name=value", path.display());
    assert_eq!(complaint(destination.clone()), wanted);
    destination.headers_file = Some("/nowhere/headers".into());
    assert_eq!(complaint(destination), "export.headers_file /nowhere/headers: there is no such file");
}

#[test]
fn wrong_tls_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let empty = file(&folder, "empty.pem", "nothing");
    let broken =
        file(&folder, "broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let mut ca = destination();
    ca.tls.ca_file = Some(empty.clone());
    assert!(complaint(ca.clone()).contains("empty.pem: it holds no certificate"));
    ca.tls.ca_file = Some(broken);
    assert!(complaint(ca.clone()).contains("broken.pem: a certificate of it cannot be used"));
    ca.tls.ca_file = Some("/nowhere/ca.pem".into());
    assert_eq!(complaint(ca), "export.tls.ca_file /nowhere/ca.pem: there is no such file");
}

#[test]
fn a_certificate_needs_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let pair = |name| {
        let pair = rcgen::generate_simple_self_signed([format!("{name}.test")]).unwrap();
        let cert = file(&folder, &format!("{name}.crt"), &pair.cert.pem());
        (cert, file(&folder, &format!("{name}.key"), &pair.signing_key.serialize_pem()))
    };
    let ((cert, key), (_, other_key)) = (pair("agent"), pair("other"));
    let mut with = destination();
    with.tls.ca_file = Some(cert.clone());
    with.tls.cert_file = Some(cert.clone());
    assert!(
        complaint(with.clone()).starts_with("export.tls.cert_file is set and export.tls.key_file is not")
    );
    with.tls.key_file = Some(key.clone());
    assert!(Route::read(with.clone()).is_ok());
    with.tls.key_file = Some(other_key);
    let mismatch = complaint(with.clone());
    assert!(mismatch.contains("agent.crt cannot be used with its export.tls.key_file"), "{mismatch}");
    with.tls.key_file = Some(cert);
    assert!(complaint(with.clone()).contains("it holds no private key"));
    (with.tls.cert_file, with.tls.key_file) = (None, Some(key));
    assert!(complaint(with).starts_with("export.tls.key_file is set and export.tls.cert_file is not"));
}

#[test]
fn without_https_no_certificate_is_read() {
    let mut plain = Export::default().destination(Signal::Logs);
    plain.tls.ca_file = Some("/nowhere/ca.pem".into());
    assert!(Route::read(plain).is_ok());
}
