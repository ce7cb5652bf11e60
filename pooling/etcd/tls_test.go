package etcd_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/etcd"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// TestTLS: a server is trusted by a CA file alone, and is shown a client certificate.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	file := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := file("cert.pem", "CERTIFICATE", der), file("key.pem", "EC PRIVATE KEY", keyDER)
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))

	store := &poolingtest.Etcd{User: "conftool", Password: "pw"}
	if err := store.Put("/x", "1"); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(store)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are meant to fail
	s.StartTLS()
	defer s.Close()
	caFile := file("ca.pem", "CERTIFICATE", s.Certificate().Raw)

	for _, c := range []struct {
		name   string
		config etcd.Config
		want   error
	}{
		{"all", etcd.Config{CAFile: caFile, CertFile: certFile, KeyFile: keyFile, User: "conftool", Password: "pw"}, nil},
		{"no CA", etcd.Config{CertFile: certFile, KeyFile: keyFile, User: "conftool", Password: "pw"}, pooling.ErrUnavailable},
		{"no certificate", etcd.Config{CAFile: caFile, User: "conftool", Password: "pw"}, pooling.ErrUnavailable},
		{"no password", etcd.Config{CAFile: caFile, CertFile: certFile, KeyFile: keyFile}, pooling.ErrUnauthorized},
	} {
		c.config.Endpoints = []string{s.URL}
		c.config.Timeout = 5 * time.Second
		store, err := etcd.New(c.config)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		if _, err := store.Get(t.Context(), "/x"); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
