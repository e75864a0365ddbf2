//! What TLS to Redis needs beside `rediss://`: the authority that is trusted, and the node's own certificate.

use std::{fs, io, path::Path};

use redis::{Client, ClientTlsConfig, ConnectionInfo, TlsCertificates};

use super::config::{RedisOpenError, RedisTls};

/// Adds what is in the files to an address.
pub(super) fn add_certificates(
    info: ConnectionInfo,
    files: &RedisTls,
) -> Result<ConnectionInfo, RedisOpenError> {
    if *files == RedisTls::default() {
        return Ok(info);
    }
    let client = files.client.as_ref();
    let certificates = TlsCertificates {
        client_tls: client
            .map(|(cert, key)| {
                Ok(ClientTlsConfig {
                    client_cert: read(cert)?,
                    client_key: read(key)?,
                })
            })
            .transpose()?,
        root_cert: files.ca.as_deref().map(read).transpose()?,
    };
    let client = Client::build_with_tls(info, certificates).map_err(RedisOpenError::Tls)?;
    Ok(client.get_connection_info().clone())
}

fn read(file: &Path) -> Result<Vec<u8>, RedisOpenError> {
    fs::read(file).map_err(|source: io::Error| RedisOpenError::TlsFile {
        file: file.to_owned(),
        source,
    })
}
