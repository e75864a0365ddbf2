//! A Redis that speaks TLS and asks for a certificate.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::{backend::redis::RedisTls, options::SecretUrl};

/// An authority, and the files of a server and of a client that it vouches for.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        let authority = Self { folder, issuer };
        authority.issue("server");
        authority.issue("client");
        authority
    }

    fn issue(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let folder = self.folder.path();
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Has a Redis speak TLS on another port, to clients that have a certificate.
    async fn add_tls_port(&self, server: &Server, port: u16) {
        let client = Client::open(server.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let file = |name| self.folder().join(name).display().to_string();
        let mut set = redis::cmd("CONFIG");
        set.arg("SET")
            .arg(&["tls-cert-file", &file("server.pem")])
            .arg(&["tls-key-file", &file("server.key")])
            .arg(&["tls-ca-cert-file", &file("ca.pem")])
            .arg(&["tls-auth-clients", "yes", "tls-port", &port.to_string()]);
        set.exec_async(&mut connection).await.unwrap();
    }

    fn tls(&self, ca: bool, client: bool) -> RedisTls {
        let file = |name| self.folder().join(name);
        RedisTls {
            ca: ca.then(|| file("ca.pem")),
            client: client.then(|| (file("client.pem"), file("client.key"))),
        }
    }
}

#[tokio::test]
async fn a_redis_with_tls_takes_nodes_that_trust_it_and_have_a_certificate() {
    let authority = Authority::new();
    let (server, port) = (Server::start().await, ClaimedPort::claim());
    authority.add_tls_port(&server, port.number).await;
    let url = format!("rediss://127.0.0.1:{}", port.number);
    let open = async |tls: RedisTls| {
        let config = RedisConfig {
            tls,
            ..RedisConfig::new(SecretUrl::new(&url))
        };
        open_with(config, None).await
    };
    for tls in [
        RedisTls::default(),
        authority.tls(true, false),
        authority.tls(false, true),
    ] {
        let refused = open(tls.clone()).await.err();
        assert!(matches!(refused, Some(RedisOpenError::Away(_))), "{tls:?}");
    }
    let (log, _, deliveries) = open(authority.tls(true, true)).await.unwrap();
    log.subscribe(&key("/", "r")).await.unwrap();
    let mut node = TestNode {
        log: Arc::new(log),
        deliveries,
    };
    node.send(draft("r", "1")).await.unwrap();
    assert_eq!(node.messages_only(1).await[0].data.get(), "1");

    let missing = RedisTls {
        ca: Some(authority.folder().join("nowhere.pem")),
        client: None,
    };
    let refused = open(missing).await.err().unwrap().to_string();
    assert!(refused.contains("nowhere.pem"), "{refused}");
}
