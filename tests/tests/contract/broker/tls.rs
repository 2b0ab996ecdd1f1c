//! RabbitMQ behind TLS: by an authority of our own, and to a server that asks for a client certificate. What ends the TLS
//! here stands before a plain RabbitMQ, so every byte of the protocol is the real one's.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    },
};
use tokio_util::sync::CancellationToken;
use watchbell::{
    broker::{
        Broker as _,
        rabbitmq::{BrokerAccess, Permission, RabbitBroker, RabbitConfig, apply_topology, survey},
    },
    domain::Secret,
    runtime::certificate,
};
use watchbell_tests::{services, until::until};

use super::{SOON, rabbit_config};

/// An authority, a server's pair that it signed, and a client's.
struct Certificates {
    authority: String,
    server: (String, String),
    /// The certificate and its key, one after the other.
    client: String,
}

fn certificates() -> Certificates {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let signed = |usage| {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(["localhost".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2036, 11, 1);
        parameters.extended_key_usages = vec![usage];
        (parameters.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    };
    let (certificate, key) = signed(ExtendedKeyUsagePurpose::ClientAuth);
    Certificates {
        authority: authority_pem,
        server: signed(ExtendedKeyUsagePurpose::ServerAuth),
        client: format!("{certificate}{key}"),
    }
}

/// Ends TLS before this port, for clients whose certificate the authority signed. Ends with the test.
async fn tls_before(port: u16, certificates: &Certificates) -> (u16, JoinHandle<()>) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificates.authority.as_bytes()).unwrap()).unwrap();
    let known = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(certificates.server.0.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(certificates.server.1.as_bytes()).unwrap();
    let config = ServerConfig::builder().with_client_cert_verifier(known).with_single_cert(chain, key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that is refused, or refuses us, is what a test is about.
                let Ok(mut near) = acceptor.accept(near).await else { return };
                let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (own, serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_behind_a_private_authority_is_reached_with_its_root_and_a_certificate() {
    let rabbit = services::rabbit().await.unwrap();
    let plain = rabbit.fresh_vhost("tls").await.unwrap();
    let certificates = certificates();
    let (port, _serving) = tls_before(rabbit.port(), &certificates).await;
    let url = plain
        .replace("amqp://", "amqps://")
        .replace(&format!("127.0.0.1:{}", rabbit.port()), &format!("localhost:{port}"));
    let bare = rabbit_config(&url);
    let with = |access: BrokerAccess| RabbitConfig { access: access.into(), ..rabbit_config(&url) };
    let believing = BrokerAccess {
        trust_roots_pem: Some(certificates.authority.clone()),
        ..BrokerAccess::to(url.clone())
    };
    let trusting = with(believing.clone());
    let known =
        BrokerAccess { client_certificate_pem: Some(Secret::from(certificates.client.clone())), ..believing };
    let whole = with(known.clone());
    for (why, config) in
        [("an authority that nobody trusts", &bare), ("no certificate of our own", &trusting)]
    {
        config.check().unwrap();
        let seen = survey(config, &[]).await;
        let fault = seen.nodes[0].fault.clone();
        assert!(fault.is_some() && seen.missing.is_none(), "{why}: {seen:?}");
    }
    whole.check().unwrap();
    let seen = survey(&whole, &[Permission::Declare]).await;
    assert!(seen.nodes[0].fault.is_none(), "{seen:?}");
    assert_eq!(
        seen.missing.unwrap().unwrap().len(),
        23,
        "nothing was declared yet: 19 exchanges and 4 queues"
    );
    assert!(seen.permissions.is_empty(), "what is missing is not asked about: {:?}", seen.permissions);
    let end = certificate::end_of(seen.nodes[0].certificate.as_deref().unwrap()).unwrap();
    assert_eq!(end.to_string(), "2036-11-01T00:00:00Z");
    apply_topology(&whole).await.unwrap();

    // A process that was started without them takes the certificates when it is given them.
    let access = bare.access.clone();
    let broker = RabbitBroker::connect(bare, CancellationToken::new());
    assert!(!broker.is_ready());
    access.replace(known);
    until("a connection with the new certificates", SOON, async || broker.is_ready().then_some(()))
        .await
        .unwrap();
}

/// Asking for a right changes nothing: no queue gets a message, and none is taken.
#[tokio::test(flavor = "multi_thread")]
async fn rights_are_found_out_without_a_trace() {
    use watchbell::broker::WorkQueue;
    let rabbit = services::rabbit().await.unwrap();
    let url = rabbit.fresh_vhost("rights").await.unwrap();
    let vhost = url.rsplit('/').next().unwrap().to_owned();
    apply_topology(&rabbit_config(&url)).await.unwrap();
    let all = [
        Permission::Declare,
        Permission::PublishAlerts,
        Permission::PublishLive,
        Permission::PublishOutcomes,
        Permission::PublishToQueues,
        Permission::Consume(WorkQueue::Dispatch),
        Permission::HearLive,
    ];
    let given = async |url: &str| -> Vec<Option<bool>> {
        let seen = survey(&rabbit_config(url), &all).await;
        assert_eq!(seen.permissions.len(), all.len(), "{seen:?}");
        seen.permissions.into_iter().map(|seen| seen.is_given.ok()).collect()
    };
    assert_eq!(given(&url).await, [Some(true); 7]);

    // What `watchbell topology show` says of dispatch.
    let user = format!("dispatch-{vhost}");
    rabbit.ctl(&["add_user", &user, "hunter2"]).await.unwrap();
    let write = "^(watchbell\\.live\\..*|amq\\.default)$";
    let read = "^watchbell\\.dispatch$";
    rabbit.ctl(&["set_permissions", "--vhost", &vhost, &user, "^$", write, read]).await.unwrap();
    let as_dispatch = url.replace("guest:guest", &format!("{user}:hunter2"));
    let [no, yes] = [Some(false), Some(true)];
    assert_eq!(given(&as_dispatch).await, [no, no, yes, no, yes, yes, no]);

    let queues = rabbit
        .ctl(&["list_queues", "--vhost", &vhost, "--no-table-headers", "name", "messages"])
        .await
        .unwrap();
    let lines: Vec<&str> = queues.lines().collect();
    assert!(lines.len() == 4 && lines.iter().all(|line| line.ends_with("\t0")), "{queues}");
}
