// What a C++ program needs beside the generated code to talk to a Sturdy host: a connection
// to it, and the codes of its errors. Cap'n Proto 0.9 or later, OpenSSL 1.1.1 or later.
#pragma once

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>
#include <kj/compat/tls.h>
#include <kj/exception.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "sturdy.capnp.h"

namespace sturdy {

// codeOf is what a program compares of an error: "no right", "bank.example/overdraft". It
// stands before the first ": " of what the host has said.
inline std::string codeOf(const kj::Exception& e) {
  std::string said = e.getDescription().cStr();
  const std::string prefix = "remote exception: ";  // Cap'n Proto adds it
  if (said.rfind(prefix, 0) == 0) said = said.substr(prefix.size());
  return said.substr(0, said.find(": "));
}

// SturdyRef is the part of "sturdy://HOST/…/at=ADDRESS/…" that a connection needs.
struct SturdyRef {
  std::string host;     // the hash of the host's public key
  std::string address;  // "localhost:7070"

  explicit SturdyRef(const std::string& text) {
    const std::string scheme = "sturdy://";
    KJ_REQUIRE(text.rfind(scheme, 0) == 0, "not a sturdy ref");
    size_t begin = scheme.size(), end = text.find('/', begin);
    host = text.substr(begin, end - begin);
    size_t at = text.find("/at=");
    KJ_REQUIRE(at != std::string::npos, "the sturdy ref does not say where its host is");
    for (size_t i = at + 4; i < text.size() && text[i] != '/'; i++) {
      if (text[i] == '%') {
        address += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
        i += 2;
      } else {
        address += text[i];
      }
    }
  }
};

// hostOf is the name of the host whose key is in a certificate: the first 20 bytes of its
// SHA-256, in base32.
inline std::string hostOf(X509* certificate) {
  unsigned char key[32], sum[SHA256_DIGEST_LENGTH];
  size_t size = sizeof(key);
  EVP_PKEY* pub = X509_get0_pubkey(certificate);
  KJ_REQUIRE(pub != nullptr && EVP_PKEY_id(pub) == EVP_PKEY_ED25519 &&
                 EVP_PKEY_get_raw_public_key(pub, key, &size) == 1,
             "the host's key is not one of Ed25519");
  SHA256(key, size, sum);
  std::string name;
  for (int bit = 0; bit < 160; bit += 5) {
    int two = sum[bit / 8] << 8 | sum[bit / 8 + 1];
    name += "abcdefghijklmnopqrstuvwxyz234567"[two >> (11 - bit % 8) & 31];
  }
  return name;
}

// certificateOf asks who answers at the address of a sturdy ref for its certificate, and
// throws unless it is that of the host which the sturdy ref names. Nothing else is sent.
inline kj::TlsCertificate certificateOf(const SturdyRef& ref) {
  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> ctx(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  std::unique_ptr<BIO, void (*)(BIO*)> conn(BIO_new_ssl_connect(ctx.get()), BIO_free_all);
  BIO_set_conn_hostname(conn.get(), ref.address.c_str());
  KJ_REQUIRE(BIO_do_connect(conn.get()) == 1, "no host answers at the address", ref.address.c_str());
  SSL* ssl = nullptr;
  BIO_get_ssl(conn.get(), &ssl);
  std::unique_ptr<X509, void (*)(X509*)> certificate(SSL_get_peer_certificate(ssl), X509_free);
  KJ_REQUIRE(certificate != nullptr, "the host shows no certificate");
  std::string found = hostOf(certificate.get());
  KJ_REQUIRE(found == ref.host, "an impostor, or another host's address", found.c_str());
  unsigned char* der = nullptr;
  int size = i2d_X509(certificate.get(), &der);
  KJ_REQUIRE(size > 0);
  KJ_DEFER(OPENSSL_free(der));
  return kj::TlsCertificate(kj::arrayPtr(der, size));
}

// Connection is a connection to a host. Capabilities from it are valid for as long as it is
// there.
class Connection {
 public:
  // Over the socket in a world's directory, for who may read the directory.
  static kj::Own<Connection> toWorld(kj::AsyncIoContext& io, const std::string& dir) {
    auto address = io.provider->getNetwork().parseAddress("unix:" + dir + "/sock").wait(io.waitScope);
    return kj::heap<Connection>(address->connect().wait(io.waitScope));
  }

  // Over TLS, to the host that a sturdy ref names and to no other. KJ can be told which
  // certificates to trust, and does nothing but that: so the one certificate is looked at
  // first, and then the only one that is trusted. It names no host in the sense of DNS.
  static kj::Own<Connection> toHost(kj::AsyncIoContext& io, const SturdyRef& ref) {
    kj::TlsCertificate certificate = certificateOf(ref);
    kj::TlsContext::Options options;
    options.useSystemTrustStore = false;
    options.trustedCertificates = kj::arrayPtr(&certificate, 1);
    auto address = io.provider->getNetwork().parseAddress(ref.address).wait(io.waitScope);
    auto tls = kj::heap<kj::TlsContext>(options);
    auto stream = tls->wrapClient(address->connect().wait(io.waitScope), "sturdy").wait(io.waitScope);
    return kj::heap<Connection>(stream.attach(kj::mv(tls)));
  }

  explicit Connection(kj::Own<kj::AsyncIoStream> s) : stream(kj::mv(s)), rpc(*stream) {}

  // Where everything begins: see sturdy.capnp.
  Host::Client host() { return rpc.bootstrap().castAs<Host>(); }

 private:
  kj::Own<kj::AsyncIoStream> stream;
  capnp::TwoPartyClient rpc;
};

}  // namespace sturdy
